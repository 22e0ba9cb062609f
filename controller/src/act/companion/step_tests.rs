use super::*;
use serde_json::Value;

fn found(ports: &Value, container: &Value) -> Vec<Inside> {
    annotated(ports, container, &json!({}))
}

fn annotated(ports: &Value, container: &Value, annotations: &Value) -> Vec<Inside> {
    let service = json!({"metadata": {"name": "back", "namespace": "shop"},
        "spec": {"selector": {"app": "back"}, "ports": ports}});
    let other = json!({"metadata": {"name": "other", "namespace": "shop"},
        "spec": {"selector": {"app": "other"}, "ports": [{"port": 80}]}});
    let mut app = json!({"name": "app", "image": "back:1", "ports": [
        {"name": "serving", "containerPort": 8080}, {"containerPort": 9090}]});
    json_patch::merge(&mut app, container);
    let callee = json!({"metadata": {"name": "back", "namespace": "shop", "annotations": annotations},
        "spec": {"selector": {}, "template": {"metadata": {"labels": {"app": "back"}}, "spec": {"containers": [app]}}}});
    let read = |object: Value| serde_json::from_value::<Service>(object).unwrap();
    let id = WorkloadId::deployment("shop", "back");
    let edge = EdgeId {
        source: id.clone(),
        destination: id,
    };
    ways(
        &[read(service), read(other)],
        &serde_json::from_value(callee).unwrap(),
        &edge,
    )
}

#[test]
fn each_port_of_its_services_leads_to_a_port_of_its_containers() {
    let ports = json!([{"name": "http-web", "port": 80, "targetPort": "serving"}, {"name": "grpc", "port": 9090},
        {"port": 81, "targetPort": 8080, "appProtocol": "kubernetes.io/h2c"}, {"port": 82, "targetPort": 7},
        {"port": 53, "targetPort": 9090, "protocol": "UDP"}]);
    let ways = found(&ports, &json!({}));
    let short: Vec<_> = ways.iter().map(|way| (way.port, way.target, way.speaks)).collect();
    assert_eq!(
        short,
        [
            (80, 8080, Speaks::Http1),
            (9090, 9090, Speaks::Http2),
            (81, 8080, Speaks::Http2)
        ]
    );
    assert!(
        ways.iter()
            .all(|way| way.host == "back.shop.svc.cluster.local" && way.again == Again::Safe)
    );
}

#[test]
fn which_calls_may_be_carried_out_twice_is_the_owners_word_and_else_their_methods() {
    let ports = json!([{"port": 80, "targetPort": 8080}]);
    for (word, again) in [
        (json!({}), Again::Safe),
        (json!({api::ANNOTATION_REPEATABLE: "true"}), Again::All),
        (json!({api::ANNOTATION_REPEATABLE: "false"}), Again::Never),
        (json!({api::ANNOTATION_REPEATABLE: "perhaps"}), Again::Safe),
    ] {
        assert_eq!(annotated(&ports, &json!({}), &word)[0].again, again, "{word}");
    }
}

#[test]
fn a_probe_becomes_the_proxys_check_where_a_proxy_can_ask_it() {
    let ports = json!([{"port": 80, "targetPort": 8080}]);
    let cases = [
        (
            json!({"httpGet": {"path": "/ready", "port": "serving"}}),
            Check::Answers {
                path: "/ready".to_owned(),
                port: 8080,
            },
        ),
        (
            json!({"httpGet": {"path": "/ready", "port": 8080, "scheme": "HTTPS"}}),
            Check::Connects,
        ),
        (json!({"exec": {"command": ["true"]}}), Check::Connects),
        (
            json!({"grpc": {"port": 9090}}),
            Check::Grpc {
                service: String::new(),
                port: 9090,
            },
        ),
    ];
    for (probe, check) in cases {
        assert_eq!(
            found(&ports, &json!({"readinessProbe": probe}))[0].check,
            check,
            "{probe}"
        );
    }
}
