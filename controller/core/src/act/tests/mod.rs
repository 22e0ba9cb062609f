//! Laws of acting, over a small model of a cluster: whatever happens in between, a move ends done or undone, and leaves
//! neither a released pod nor a step rule behind.

mod alone;
mod cells;
mod life;
mod merges;
mod moves;
mod ranks;
mod resizes;
mod routes;
mod template_sizes;
mod templates;
mod withdraws;
mod world;
