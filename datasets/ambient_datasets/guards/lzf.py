"""What a stretch of LZF (h5py's own compression) unfolds to, counted without unfolding it."""

LITERALS = 32  # a control byte below it is followed by so many literal bytes, and one more
LONG = 7  # the length of a reference that goes on in a byte of its own


def unfolded_size(packed: bytes, most: int) -> int:
    """The bytes that packed ones unfold to; counting stops beyond ``most``.

    A stretch that ends in the middle of a reference or of literals counts as nothing: -1.
    """
    size, place, end = 0, 0, len(packed)
    while place < end and size <= most:
        control = packed[place]
        if control < LITERALS:
            size, place = size + control + 1, place + control + 2
            continue
        length = control >> 5
        if length == LONG:
            place += 1
            if place >= end:
                return -1
            length += packed[place]
        size, place = size + length + 2, place + 2
    return size if place <= end else -1
