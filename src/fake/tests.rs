//! The world does what was measured of the real one.
