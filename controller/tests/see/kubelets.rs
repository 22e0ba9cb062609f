//! Asking kubelets, against the API server: it shows a certificate of the cluster's authority and asks who comes, as they do.

use super::plane::Plane;
use huddle::usage::{Cause, Kubelets};
use kube::Config;
use kube::config::AuthInfo;
use std::net::{Ipv4Addr, SocketAddr};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_kubelet_answers_is_told_apart() {
    let plane = Plane::start().await.unwrap();
    let port = plane.config.cluster_url.port_u16().unwrap();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let asked = async |config: Config, insecure| Kubelets::new(config, insecure).cadvisor(address).await.unwrap_err();

    // The administrator may read there, and there is nothing to read.
    assert_eq!(asked(plane.config.clone(), false).await, Cause::Odd { status: 404 });
    let mut nobody = plane.config.clone();
    nobody.auth_info = AuthInfo::default();
    assert_eq!(asked(nobody, false).await, Cause::Refused);
    let mut stranger = plane.config.clone();
    (stranger.root_cert, stranger.root_cert_file) = (None, None);
    assert_eq!(asked(stranger.clone(), false).await, Cause::Untrusted);
    assert_eq!(asked(stranger, true).await, Cause::Odd { status: 404 });
}
