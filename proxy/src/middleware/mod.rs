//! The steps that every request takes: one file each, in the order of [`pipeline`](crate::pipeline).
