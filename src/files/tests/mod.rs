mod bench;
mod model;
