use super::*;

const IMAGE: &str = "huddle:1";

fn deployment(name: &str, extra: &Value) -> Deployment {
    let mut object = json!({"metadata": {"name": name, "namespace": "shop", "generation": 3},
        "spec": {"selector": {"matchLabels": {"app": name}}, "template": {"metadata": {"labels": {"app": name}},
            "spec": {"containers": [{"name": "app", "image": format!("{name}:1"), "command": ["/serve"]}]}}}});
    json_patch::merge(&mut object["spec"]["template"]["spec"], extra);
    serde_json::from_value(object).unwrap()
}

fn made(extra: &Value) -> Result<api::CompanionSpec, Vec<Unmergeable>> {
    companion_of(
        &deployment("front", &json!({})),
        &deployment("back", extra),
        (Way::Proxied, &[]),
        IMAGE,
    )
}

fn with(field: &str, value: Value) -> Value {
    let mut container = json!({"name": "app", "image": "back:1", "command": ["/serve"]});
    container[field] = value;
    json!({"containers": [container]})
}

#[test]
fn a_template_becomes_a_companion() {
    let extra = json!({
        "securityContext": {"runAsUser": 10, "runAsNonRoot": true},
        "volumes": [{"name": "conf", "configMap": {"name": "back", "defaultMode": 420}}],
        "containers": [{"name": "app", "image": "back:1", "command": ["/serve"], "args": ["-p", "80"],
            "env": [{"name": "A", "value": "b"}, {"name": "K", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
            "ports": [{"name": "http", "containerPort": 80}],
            "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
            "readinessProbe": {"tcpSocket": {"port": 80}},
            "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
            "securityContext": {"privileged": false, "capabilities": {"drop": ["ALL"]}},
            "volumeMounts": [{"name": "conf", "mountPath": "/conf", "readOnly": true}]}]});
    let spec = made(&extra).unwrap();
    assert_eq!(spec, made(&extra).unwrap());
    assert_eq!((spec.template_hash.len(), spec.generation), (64, 3));
    let written = json!(spec);
    let container = &written["containers"][0];
    assert_eq!(container["name"], "huddle-back-app");
    assert_eq!(container["ports"], json!([{"containerPort": 80, "protocol": "TCP"}]));
    assert_eq!(
        container["securityContext"],
        json!({"runAsUser": 10, "runAsNonRoot": true, "capabilities": {"drop": ["ALL"]}})
    );
    assert_eq!(
        container["volumeMounts"],
        json!([{"name": "huddle-back-conf", "mountPath": "/conf", "readOnly": true},
            {"name": "huddle-back-no-token", "mountPath": api::TOKEN_PATH, "readOnly": true},
            {"name": "huddle-back-supervisor", "mountPath": "/huddle-supervisor", "readOnly": true}])
    );
    // Its end is not the container's: another program starts it, and starts it again.
    assert_eq!(
        container["command"],
        json!([
            "/huddle-supervisor/supervisor",
            "run",
            "--lingers-ms",
            "3000",
            "--",
            "/serve"
        ])
    );
    assert_eq!(container["args"], json!(["-p", "80"]));
    let installer = &written["installer"];
    assert_eq!(
        (&installer["name"], &installer["image"]),
        (&json!("huddle-back-supervisor"), &json!(IMAGE))
    );
    assert_eq!(
        installer["command"],
        json!(["/usr/local/bin/supervisor", "install", "/huddle-supervisor"])
    );
    assert_eq!(
        written["volumes"][0]["configMap"],
        json!({"name": "back", "defaultMode": 420})
    );
    assert_eq!(written["volumes"][1]["emptyDir"], json!({"sizeLimit": "1Mi"}));
    assert!(container.get("readinessProbe").is_none());
}

#[test]
fn another_template_has_another_hash() {
    let hash = |extra: &Value| made(extra).unwrap().template_hash;
    assert_ne!(hash(&json!({})), hash(&with("args", json!(["x"]))));
}

#[test]
fn what_a_companion_cannot_be_is_a_reason() {
    let field = |field: &str| json!([{"name": "X", "valueFrom": {"fieldRef": {"fieldPath": field}}}]);
    let refused = [
        (with("securityContext", json!({"privileged": true})), "privileged"),
        (
            with("securityContext", json!({"capabilities": {"add": ["NET_ADMIN"]}})),
            "privileged",
        ),
        (with("securityContext", json!({"runAsUser": 1337})), "privileged"),
        (
            with("securityContext", json!({"seccompProfile": {"type": "Unconfined"}})),
            "inexpressible",
        ),
        (with("env", field("metadata.name")), "downwardApi"),
        (with("env", field("spec.nodeName")), "inexpressible"),
        (with("envFrom", json!([{"secretRef": {"name": "s"}}])), "inexpressible"),
        (
            with("resources", json!({"limits": {"ephemeral-storage": "1Gi"}})),
            "inexpressible",
        ),
        (
            json!({"volumes": [{"name": "scratch", "emptyDir": {"sizeLimit": "1Gi"}}]}),
            "inexpressible",
        ),
        (
            with("lifecycle", json!({"preStop": {"exec": {"command": ["/drain"]}}})),
            "inexpressible",
        ),
        (
            with("ports", json!([{"containerPort": 80, "hostPort": 80}])),
            "inexpressible",
        ),
        (with("ports", json!([{"containerPort": 15_001}])), "proxyPort"),
        (
            with("resources", json!({"limits": {"nvidia.com/gpu": "1"}})),
            "inexpressible",
        ),
        (
            with("volumeMounts", json!([{"name": "x", "mountPath": api::TOKEN_PATH}])),
            "inexpressible",
        ),
        (json!({"containers": [{"name": "app", "image": "back:1"}]}), "noCommand"),
        (json!({"hostNetwork": true}), "hostNamespace"),
        (json!({"securityContext": {"fsGroup": 5}}), "podSetting"),
        (json!({"imagePullSecrets": [{"name": "pull"}]}), "pullSecret"),
        (
            json!({"initContainers": [{"name": "i", "image": "i"}]}),
            "initContainer",
        ),
        (
            json!({"initContainers": [{"name": "i", "image": "i", "restartPolicy": "Always"}]}),
            "inexpressible",
        ),
        (
            json!({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}),
            "privileged",
        ),
        (
            json!({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]}),
            "stateful",
        ),
        (
            json!({"volumes": [{"name": "v", "csi": {"driver": "d"}}]}),
            "identityVolume",
        ),
        (
            json!({"volumes": [{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]}),
            "token",
        ),
        (
            json!({"volumes": [{"name": "v", "nfs": {"server": "s", "path": "/"}}]}),
            "inexpressible",
        ),
        (json!({"volumes": [{"name": "no-token", "emptyDir": {}}]}), "name"),
        (json!({"volumes": [{"name": "supervisor", "emptyDir": {}}]}), "name"),
    ];
    for (extra, label) in refused {
        let against = made(&extra).expect_err(&extra.to_string());
        let labels: Vec<&str> = against.iter().map(Unmergeable::label).collect();
        assert!(labels.contains(&label), "{extra}: {labels:?}");
        assert!(against.iter().all(|reason| !reason.sentence().is_empty()), "{extra}");
    }
}

#[test]
fn ports_that_collide_and_another_namespace_are_reasons() {
    let ports = with("ports", json!([{"containerPort": 80}]));
    let against = companion_of(
        &deployment("front", &ports),
        &deployment("back", &ports),
        (Way::Direct, &[]),
        IMAGE,
    )
    .unwrap_err();
    assert!(against.iter().any(|reason| reason.label() == "port"), "{against:?}");
    let mut other = deployment("back", &json!({}));
    other.metadata.namespace = Some("elsewhere".to_owned());
    let against = companion_of(&deployment("front", &json!({})), &other, (Way::Direct, &[]), IMAGE).unwrap_err();
    assert_eq!(against, [Unmergeable::OtherNamespace]);
}

#[test]
fn a_sleep_before_its_end_is_the_supervisors_and_as_long_as_the_callers() {
    let sleeps = |seconds: u64| with("lifecycle", json!({"preStop": {"sleep": {"seconds": seconds}}}));
    let (front, back) = (deployment("front", &sleeps(7)), deployment("back", &sleeps(1)));
    let made = companion_of(&front, &back, (Way::Proxied, &[]), IMAGE).unwrap();
    assert_eq!(made.containers[0].command[2..4], ["--lingers-ms", "8000"]);
}

#[test]
fn over_loopback_its_services_are_named_and_its_ports_watched() {
    let front = |extra: &Value| deployment("front", extra);
    let back = deployment(
        "back",
        &with(
            "ports",
            json!([{"containerPort": 80}, {"containerPort": 53, "protocol": "UDP"}]),
        ),
    );
    let services = |count: usize| -> Vec<String> { (0..count).map(|at| format!("back-{at}")).collect() };
    let made = |caller: &Deployment, way, count| companion_of(caller, &back, (way, &services(count)), IMAGE);
    let direct = json!(made(&front(&json!({})), Way::Direct, 1).unwrap());
    assert_eq!(
        direct["loopback"],
        json!({"ip": "127.0.0.1", "hostnames": ["back-0", "back-0.shop", "back-0.shop.svc", "back-0.shop.svc.cluster.local"]})
    );
    assert_eq!(
        direct["containers"][0]["command"],
        json!([
            "/huddle-supervisor/supervisor",
            "run",
            "--lingers-ms",
            "3000",
            "--listens",
            "80",
            "--",
            "/serve"
        ])
    );
    let proxied = made(&front(&json!({})), Way::Proxied, 1).unwrap();
    assert_eq!((proxied.loopback, proxied.way), (None, api::CompanionWay::Proxied));
    // What names mean in the caller's pods is said there already.
    let own = front(&json!({"hostAliases": [{"ip": "10.0.0.1", "hostnames": ["back-0"]}]}));
    let against = made(&own, Way::Direct, 1).unwrap_err();
    assert!(against.iter().any(|reason| reason.label() == "ownNames"), "{against:?}");
    let against = made(&front(&json!({})), Way::Direct, MOST_SERVICES + 1).unwrap_err();
    assert!(
        against.iter().any(|reason| reason.label() == "manyServices"),
        "{against:?}"
    );
    assert!(made(&front(&json!({})), Way::Proxied, MOST_SERVICES + 1).is_ok());
}

#[test]
fn names_fit_and_stay_apart() {
    assert_eq!(named("back", "app"), "huddle-back-app");
    let (one, other) = (named(&"b".repeat(60), "app"), named(&"b".repeat(60), "apq"));
    assert!(
        one.len() == NAME && other.len() == NAME && one != other,
        "{one} {other}"
    );
    assert_ne!(named("a.b", "c"), named("a-b", "c"));
}
