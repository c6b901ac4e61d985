//! After the worst: a machine that is gone, a disk that is full, a store cut at any write.

mod backup;
mod disk;
mod images;
