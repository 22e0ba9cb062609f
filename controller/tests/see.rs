//! Border: the measuring half and the installation against a real API server, controller manager and scheduler without kubelets.

mod see {
    mod installing;
    mod kubelets;
    mod measuring;
    mod merging;
    pub(crate) mod plane;
    mod prometheus;
}
