//! Border: act against a real API server, controller manager and scheduler without kubelets. Node status and pod readiness
//! are written by the test; faults are put into kube's own client stack.

mod border {
    mod admission;
    mod alone;
    mod cells;
    mod churned;
    pub(crate) mod cluster;
    mod companions;
    mod direct;
    pub(crate) mod faults;
    mod forged;
    mod giveback;
    pub(crate) mod kubelets;
    mod life;
    mod merges;
    mod outranking;
    mod predicted;
    mod renewed;
    mod resizes;
    mod says;
    pub(crate) mod scene;
    mod switch;
    mod template_sizes;
    mod templates;
    mod wide;
    mod withdrawn;
    #[path = "../../core/tests/world/mod.rs"]
    mod world;
}
