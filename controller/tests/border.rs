//! Border: act against a real API server, controller manager and scheduler without kubelets. Node status and pod readiness
//! are written by the test; faults are put into kube's own client stack.

mod border {
    pub(crate) mod cluster;
    pub(crate) mod faults;
    pub(crate) mod kubelets;
    pub(crate) mod scene;
    mod admission;
    mod life;
    mod switch;
}
