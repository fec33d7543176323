//! What crosses the wire: requests, responses, paths and the problem body.
