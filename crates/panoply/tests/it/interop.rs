//! The same questions to panoply and to the real Node packages: both give the same answers.

mod errors;
mod node;
