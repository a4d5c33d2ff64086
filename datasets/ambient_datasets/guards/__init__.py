"""Containers that nobody vouches for: zarr, HDF5, parquet, TFRecord, MP4, pictures, JSON.

Whoever reads a file here gets numbers of the declared shape, or one error that names file and
place. No code of a file runs, no path leads out of its folder, and memory and time are bounded.
``formats/`` reads the layouts inside these containers; docs/security.md says what is promised.
"""
