mod bench;
mod model;
mod upload;
