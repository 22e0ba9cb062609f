//! Templates as the API server gives them.

use super::*;
use serde_json::{Value, json};

fn read(spec: Value, pods: Value) -> Result<Template, Invalid> {
    let mut object = json!({
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": {"metadata": {"labels": {"app": "web"}}, "spec": pods}}
    });
    object["spec"]
        .as_object_mut()
        .unwrap()
        .extend(spec.as_object().unwrap().clone());
    template(&serde_json::from_value(object).unwrap())
}

fn pods(pods: Value) -> Template {
    read(json!({}), pods).unwrap()
}

/// Every field that merging asks about, at once.
fn full() -> Value {
    json!({
        "serviceAccountName": "web", "hostNetwork": true, "hostIPC": true, "priorityClassName": "high",
        "schedulerName": "default-scheduler", "dnsPolicy": "ClusterFirst", "shareProcessNamespace": true,
        "imagePullSecrets": [{"name": "registry"}], "nodeSelector": {"disk": "ssd"},
        "securityContext": {"runAsUser": 1000, "fsGroup": 2000, "supplementalGroups": [7], "sysctls": [{"name": "net.core.somaxconn", "value": "1024"}]},
        "containers": [{
            "name": "app",
            "env": [
                {"name": "SECRET", "value": "hush"},
                {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
                {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "vault", "key": "hush"}}}
            ],
            "ports": [{"name": "http", "containerPort": 8080}, {"containerPort": 53, "protocol": "UDP"}],
            "readinessProbe": {"httpGet": {"path": "/", "port": 9901}},
            "livenessProbe": {"tcpSocket": {"port": "http"}},
            "startupProbe": {"grpc": {"port": 8080}},
            "securityContext": {"privileged": true, "runAsGroup": 5, "capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]}},
            "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}}
        }],
        "initContainers": [{"name": "wait"}, {"name": "log", "restartPolicy": "Always"}],
        "volumes": [
            {"name": "scratch", "emptyDir": {}},
            {"name": "data", "persistentVolumeClaim": {"claimName": "data"}},
            {"name": "node", "hostPath": {"path": "/var/log"}},
            {"name": "spiffe", "csi": {"driver": "csi.spiffe.io"}},
            {"name": "token", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}},
            {"name": "info", "downwardAPI": {"items": []}}
        ]
    })
}

#[test]
fn everything_that_merging_asks_is_read() {
    let read = pods(full());
    let roles: Vec<(&str, Role)> = read.containers.iter().map(|it| (it.name.as_str(), it.role)).collect();
    assert_eq!(
        roles,
        [("app", Role::Ordinary), ("wait", Role::Init), ("log", Role::Sidecar)]
    );
    let app = &read.containers[0];
    let ports: Vec<(u16, &str)> = app
        .ports
        .iter()
        .map(|port| (port.port, port.protocol.as_str()))
        .collect();
    assert_eq!(ports, [(53, "UDP"), (8080, "TCP"), (9901, "TCP")]);
    assert_eq!(app.pod_fields, BTreeSet::from(["metadata.name".to_owned()]));
    assert_eq!((app.user, app.group), (Some(1000), Some(5)));
    assert_eq!(
        app.privileges.iter().map(String::as_str).collect::<Vec<_>>(),
        ["securityContext.capabilities.add", "securityContext.privileged"]
    );
    let kinds: Vec<(&str, &VolumeKind)> = read.volumes.iter().map(|it| (it.name.as_str(), &it.is)).collect();
    let csi = VolumeKind::Csi {
        driver: "csi.spiffe.io".to_owned(),
    };
    assert_eq!(
        kinds,
        [
            ("data", &VolumeKind::Claim),
            ("info", &VolumeKind::Downward),
            ("node", &VolumeKind::HostPath),
            ("scratch", &VolumeKind::Plain),
            ("spiffe", &csi),
            ("token", &VolumeKind::Token),
        ]
    );
    assert_eq!(read.host, BTreeSet::from([HostNamespace::Network, HostNamespace::Ipc]));
    let fields: Vec<&str> = read.settings.keys().map(String::as_str).collect();
    assert_eq!(
        fields,
        [
            "spec.priorityClassName",
            "spec.securityContext.fsGroup",
            "spec.securityContext.supplementalGroups",
            "spec.securityContext.sysctls",
            "spec.shareProcessNamespace",
        ],
        "what is at its default is no setting"
    );
    assert_eq!(read.pull_secrets, BTreeSet::from(["registry".to_owned()]));
    assert_eq!((read.account.as_str(), read.requests.cpu.0), ("web", 50));
    assert_eq!(read.constraints.node_selector.len(), 1);
    let told = format!("{read:?}");
    assert!(!told.contains("hush"), "no value of the environment: {told}");
}

#[test]
fn an_empty_template_is_all_defaults() {
    let read = pods(json!({"containers": [{"name": "app"}]}));
    assert_eq!(read.account, "default");
    assert!(read.settings.is_empty() && read.host.is_empty() && read.volumes.is_empty());
    assert_eq!(read.one_at_a_time, None);
}

#[test]
fn signs_of_a_singleton() {
    let sign = |spec: Value| read(spec, json!({"containers": []})).unwrap().one_at_a_time;
    assert_eq!(
        sign(json!({"strategy": {"type": "Recreate"}})),
        Some(OneAtATime::Recreate)
    );
    for surge in [json!(0), json!("0%")] {
        let rolling = json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": 1}});
        assert_eq!(
            sign(json!({"replicas": 1, "strategy": rolling})),
            Some(OneAtATime::NoSurge)
        );
        assert_eq!(sign(json!({"replicas": 2, "strategy": rolling})), None);
    }
    assert_eq!(sign(json!({"replicas": 1})), None, "a rollout runs two by default");
}

#[test]
fn what_is_wrong_is_named() {
    let error = |container: Value| {
        let error = read(json!({}), json!({"containers": [container]})).unwrap_err();
        error.field
    };
    assert_eq!(
        error(json!({"name": "app", "ports": [{"containerPort": 70_000}]})),
        "spec.template.spec.containers[app].ports[].containerPort"
    );
    assert_eq!(
        error(json!({"name": "app", "readinessProbe": {"tcpSocket": {"port": -1}}})),
        "spec.template.spec.containers[app].probe.port"
    );
    assert_eq!(
        error(json!({"name": "app", "resources": {"requests": {"cpu": "many"}}})),
        "spec.template.spec.containers[app].resources.requests[cpu]"
    );
    assert_eq!(template(&Deployment::default()).unwrap_err().field, "spec");
}
