//! The daemon as code: its flags, its configuration and its run, shared by `convoyd` and `convoy daemon`.
