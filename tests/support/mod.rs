pub mod desk;
pub mod fault;
pub mod live;
