//! Keep bytes under a key: object stores with one strong primitive, create-if-absent.
