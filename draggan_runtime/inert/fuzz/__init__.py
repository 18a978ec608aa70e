"""Trying the inert reader with damaged and hostile files."""
