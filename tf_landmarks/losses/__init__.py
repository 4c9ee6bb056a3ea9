"""Loss functions as tensor-to-tensor maths."""
