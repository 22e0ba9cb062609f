//! Laws of acting, over a small model of a cluster.
