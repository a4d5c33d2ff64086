"""Records of worlds: stores, formats, mixtures and the windows drawn from them."""
