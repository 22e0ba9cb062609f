//! Which pod held an address, and when: addresses are reused, and reports arrive after the fact.

use huddle_core::id::{PodUid, WorkloadId};
use huddle_core::sample::Endpoint;
use huddle_core::time::{Span, Timestamp, Window};
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

/// How long an ended tenancy is remembered: longer than a reporter's window plus its first repeats.
const REMEMBERED: Span = Span::seconds(120);

/// One pod's hold on an address.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Tenancy {
    endpoint: Arc<Endpoint>,
    from: Timestamp,
    to: Option<Timestamp>,
}

impl Tenancy {
    fn overlap(&self, window: Window) -> Span {
        let end = self.to.map_or(window.to, |to| to.min(window.to));
        end.since(self.from.max(window.from))
    }
}

/// A pod that holds an address now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// The address.
    pub address: IpAddr,
    /// Who.
    pub endpoint: Endpoint,
    /// When the pod was created.
    pub since: Timestamp,
    /// The workload whose companion runs inside the pod.
    pub inside: Option<WorkloadId>,
}

/// Addresses with their present and recent holders.
#[derive(Debug, Default)]
pub struct AddressBook {
    tenancies: HashMap<IpAddr, Vec<Tenancy>>,
    /// What a pod's calls to its own loopback are calls to.
    inside: HashMap<PodUid, Arc<Endpoint>>,
    complete: bool,
}

impl AddressBook {
    /// Makes the book equal to `tenants` as of `now`: new ones begin, those that are missing end, and those that ended
    /// long ago are forgotten. Linear in the number of addresses.
    pub fn sync(&mut self, now: Timestamp, tenants: impl IntoIterator<Item = Tenant>) {
        let mut present: HashMap<IpAddr, Tenant> = HashMap::new();
        for tenant in tenants {
            if let Some(workload) = &tenant.inside {
                let endpoint = Endpoint {
                    workload: workload.clone(),
                    ..tenant.endpoint.clone()
                };
                self.inside.insert(tenant.endpoint.pod.clone(), Arc::new(endpoint));
            }
            // Two pods claim one address while the older one ends: the younger one holds it.
            let younger = present
                .get(&tenant.address)
                .is_none_or(|other| other.since <= tenant.since);
            if younger {
                present.insert(tenant.address, tenant);
            }
        }
        for (address, history) in &mut self.tenancies {
            let next = present.remove(address);
            renew(history, now, next);
        }
        for (address, tenant) in present {
            let history = self.tenancies.entry(address).or_default();
            renew(history, now, Some(tenant));
        }
        self.tenancies.retain(|_, history| {
            history.retain(|tenancy| tenancy.to.is_none_or(|to| now.since(to) < REMEMBERED));
            !history.is_empty()
        });
        if !self.inside.is_empty() {
            let known = self.tenancies.values().flatten();
            let known: HashSet<&PodUid> = known.map(|tenancy| &tenancy.endpoint.pod).collect();
            self.inside.retain(|pod, _| known.contains(pod));
        }
        self.complete = true;
    }
    /// Whether the cluster has been read completely once: before that, an unknown address proves nothing.
    pub fn is_complete(&self) -> bool {
        self.complete
    }
    /// The pod that held `address` for the largest part of `window`; where none did, the one that holds it now.
    pub fn holder(&self, address: IpAddr, window: Window) -> Option<Arc<Endpoint>> {
        let history = self.tenancies.get(&address)?;
        history
            .iter()
            .filter(|tenancy| tenancy.overlap(window) > Span(0))
            .max_by_key(|tenancy| (tenancy.overlap(window), tenancy.from))
            .or_else(|| history.iter().find(|tenancy| tenancy.to.is_none()))
            .map(|tenancy| Arc::clone(&tenancy.endpoint))
    }
    /// The companion inside this pod, as an end of calls: its workload, at the pod's own place.
    pub fn inside(&self, pod: &PodUid) -> Option<Arc<Endpoint>> {
        self.inside.get(pod).map(Arc::clone)
    }
    /// Number of addresses known.
    pub fn len(&self) -> usize {
        self.tenancies.len()
    }
    /// Whether no address is known.
    pub fn is_empty(&self) -> bool {
        self.tenancies.is_empty()
    }
}

/// Brings one address's history up to date with who holds it now.
fn renew(history: &mut Vec<Tenancy>, now: Timestamp, next: Option<Tenant>) {
    let open = history.iter_mut().find(|tenancy| tenancy.to.is_none());
    match (open, next) {
        (Some(open), Some(next)) if open.endpoint.pod == next.endpoint.pod => {
            // The same pod, perhaps with a zone or an owner that became known only now.
            if *open.endpoint != next.endpoint {
                open.endpoint = Arc::new(next.endpoint);
            }
        }
        (open, next) => {
            if let Some(open) = open {
                open.to = Some(now);
            }
            if let Some(next) = next {
                let from = history
                    .iter()
                    .filter_map(|tenancy| tenancy.to)
                    .fold(next.since, Timestamp::max);
                history.push(Tenancy {
                    endpoint: Arc::new(next.endpoint),
                    from,
                    to: None,
                });
            }
        }
    }
}

/// The book as the watch writes it and ingest reads it.
#[derive(Clone, Debug, Default)]
pub struct SharedBook(Arc<RwLock<AddressBook>>);

impl SharedBook {
    /// Reads the book; writers wait meanwhile, so hold it briefly.
    pub fn read<T>(&self, f: impl FnOnce(&AddressBook) -> T) -> T {
        f(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
    /// See [`AddressBook::sync`].
    pub fn sync(&self, now: Timestamp, tenants: impl IntoIterator<Item = Tenant>) {
        self.0
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .sync(now, tenants);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::endpoint;

    fn tenant(last: u8, pod: &str, since: i64) -> Tenant {
        Tenant {
            address: IpAddr::from([10, 0, 0, last]),
            endpoint: endpoint(pod, "node-1", "zone-a"),
            since: Timestamp(since),
            inside: None,
        }
    }

    #[test]
    fn a_companion_is_an_end_of_its_own_at_its_pods_place() {
        let back = WorkloadId::deployment("shop", "back");
        let mut book = AddressBook::default();
        let merged = Tenant {
            inside: Some(back.clone()),
            ..tenant(1, "a", 0)
        };
        book.sync(Timestamp(1), [merged, tenant(2, "b", 0)]);
        let inside = book.inside(&PodUid::from("a")).unwrap();
        assert_eq!((&inside.workload, inside.pod.as_str()), (&back, "a"));
        assert!(book.inside(&PodUid::from("b")).is_none());
        book.sync(Timestamp(2), [tenant(2, "b", 0)]);
        assert!(book.inside(&PodUid::from("a")).is_some(), "its last reports still come");
        book.sync(Timestamp(2).plus(REMEMBERED), [tenant(2, "b", 0)]);
        assert!(book.inside(&PodUid::from("a")).is_none());
    }

    fn holder(book: &AddressBook, last: u8, from: i64, to: i64) -> Option<String> {
        let window = Window {
            from: Timestamp(from),
            to: Timestamp(to),
        };
        book.holder(IpAddr::from([10, 0, 0, last]), window)
            .map(|endpoint| endpoint.pod.as_str().to_owned())
    }

    #[test]
    fn a_reused_address_belongs_to_whoever_held_it_longest_in_the_window() {
        let mut book = AddressBook::default();
        book.sync(Timestamp(10_000), [tenant(1, "old", 1_000)]);
        book.sync(Timestamp(20_000), []);
        book.sync(Timestamp(21_000), [tenant(1, "new", 20_500)]);
        assert_eq!(holder(&book, 1, 12_000, 20_800).as_deref(), Some("old"));
        assert_eq!(holder(&book, 1, 19_500, 25_000).as_deref(), Some("new"));
        assert_eq!(holder(&book, 2, 0, 25_000), None);
    }

    #[test]
    fn what_a_pod_did_just_before_it_went_is_still_its_own() {
        let mut book = AddressBook::default();
        book.sync(Timestamp(10_000), [tenant(1, "gone", 1_000)]);
        book.sync(Timestamp(20_000), []);
        assert_eq!(holder(&book, 1, 15_000, 22_000).as_deref(), Some("gone"));
        book.sync(Timestamp(20_000 + 120_000), []);
        assert_eq!(holder(&book, 1, 15_000, 22_000), None);
        assert!(book.is_empty());
    }

    #[test]
    fn of_two_claims_the_younger_pod_wins_whatever_the_order() {
        for claims in [
            [tenant(1, "a", 1_000), tenant(1, "b", 2_000)],
            [tenant(1, "b", 2_000), tenant(1, "a", 1_000)],
        ] {
            let mut book = AddressBook::default();
            book.sync(Timestamp(3_000), claims);
            assert_eq!(holder(&book, 1, 2_500, 3_000).as_deref(), Some("b"));
            assert_eq!(book.len(), 1);
        }
    }
}
