"""The convolutions of the network of Zhang, Luo, Loy, Tang (TCDCN, ECCV 2014), which FSE copies."""

#: Filters, kernel and dilation of the convolutions before the one that makes scores or the dense layer: as
#: published, and as in the later code of FSE's authors.
CONVOLUTIONS = {
    "plain": ((20, 5, 1), (48, 5, 1), (64, 3, 1), (80, 3, 1), (256, 3, 1)),
    "dilated": ((20, 5, 1), (48, 5, 1), (64, 5, 2), (80, 3, 4), (256, 3, 2)),
}
