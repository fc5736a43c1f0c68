"""Files: finding and reading inputs, staging and publishing outputs."""
