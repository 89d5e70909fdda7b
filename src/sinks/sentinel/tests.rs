//! Encoding and answers.
