//! The plugin in one VM: takes its configuration, records, sends.

use std::{cell::RefCell, rc::Rc, time::Duration};

use huddle_filter_core::{Next, Reporter};
use proxy_wasm::{
    traits::{Context, HttpContext, RootContext},
    types::ContextType,
};

use crate::{attributes::Reading, config::Config, host, stream::Stream};

thread_local! {
    /// The last configuration that was good, for a successor in this VM whose own is not.
    static LAST_GOOD: RefCell<Option<Config>> = const { RefCell::new(None) };
}

/// Recorder and sender of one root context.
#[derive(Default)]
pub(crate) struct Plugin {
    /// None until a configuration has been good.
    active: Option<Active>,
}

struct Active {
    config: Config,
    reporter: Reporter,
    /// The call whose answer is awaited.
    token: Option<u32>,
    /// Has the last call failed? So that the log tells of an outage once.
    failing: bool,
    tick: Duration,
}

/// Envoy's root context.
pub(crate) struct Root {
    context_id: u32,
    plugin: Rc<RefCell<Plugin>>,
    ending: bool,
}

impl Plugin {
    /// Counts the request that Envoy is logging.
    pub(crate) fn record(&mut self) {
        if let Some(active) = self.active.as_mut() {
            active.reporter.record(&Reading::of(&host::Envoy).exchange());
        }
    }
}

impl Active {
    fn new(config: Config, context_id: u32) -> Self {
        let (id, seed) = host::identity(context_id);
        let reporter = Reporter::new(id, seed, config.limits, host::now_ms());
        Self {
            config,
            reporter,
            token: None,
            failing: false,
            tick: Duration::ZERO,
        }
    }

    /// A tick finds what is due at most a quarter of an interval late.
    fn set_tick(&mut self) {
        let tick = Duration::from_millis((self.reporter.interval_ms() / 4).clamp(25, 1_000));
        if tick != self.tick {
            self.tick = tick;
            host::tick_every(tick);
        }
    }

    fn on_tick(&mut self) {
        let now = host::now_ms();
        if !self.reporter.seen_traffic() && host::claim_silence(now, self.config.limits.heartbeat_ms) {
            self.reporter.beat(now);
        }
        let next = self.reporter.poll(now);
        Self::dispatch(next, &self.config, &mut self.token, now);
        self.after_dispatch(now);
    }

    /// Sends whatever is left; false if nothing is under way after that.
    fn flush(&mut self) -> bool {
        let now = host::now_ms();
        let next = self.reporter.flush(now);
        Self::dispatch(next, &self.config, &mut self.token, now);
        self.after_dispatch(now);
        self.reporter.is_under_way()
    }

    fn dispatch(next: Next<'_>, config: &Config, token: &mut Option<u32>, now_ms: u64) {
        if let Next::Send(batch) = next {
            *token = host::report(config, batch).ok();
            host::note_sent(now_ms);
        }
    }

    /// A call that Envoy could not start has no answer to wait for.
    fn after_dispatch(&mut self, now_ms: u64) {
        if self.reporter.is_under_way() {
            if self.token.is_none() {
                self.failed(now_ms, "no endpoint, or no such cluster in this proxy");
            }
        } else {
            self.token = None;
        }
    }

    fn failed(&mut self, now_ms: u64, why: &str) {
        self.reporter.on_failure(now_ms);
        self.token = None;
        if !self.failing {
            self.failing = true;
            log::warn!("huddle: the controller cannot be reached ({why}); the batch is kept and sent again");
        }
    }

    fn on_answer(&mut self, token: u32, status: u32, size: usize) {
        // An answer to a call that was given up is late: its batch has been sent again under the same sequence.
        if self.token != Some(token) {
            return;
        }
        let now = host::now_ms();
        if status != 0 {
            self.failed(now, &format!("gRPC status {status}"));
            return;
        }
        self.token = None;
        self.reporter.on_reply(now, &host::grpc_answer(size));
        if self.failing {
            self.failing = false;
            log::info!("huddle: the controller is back");
        }
        self.set_tick();
    }
}

impl Root {
    pub(crate) fn new(context_id: u32) -> Self {
        Self {
            context_id,
            plugin: Rc::default(),
            ending: false,
        }
    }

    fn configure(&self, bytes: &[u8]) {
        let config = match Config::parse(bytes) {
            Ok(config) => Some(config),
            Err(invalid) => {
                let before = LAST_GOOD.with(|last| last.try_borrow().ok().and_then(|config| config.clone()));
                let instead = if before.is_some() {
                    "the one before stays in force"
                } else {
                    "nothing is recorded"
                };
                log::error!("huddle: bad configuration, {instead}: {invalid}");
                before
            }
        };
        let (Some(config), Ok(mut plugin)) = (config, self.plugin.try_borrow_mut()) else {
            return;
        };
        LAST_GOOD.with(|last| {
            if let Ok(mut last) = last.try_borrow_mut() {
                *last = Some(config.clone());
            }
        });
        let active = match plugin.active.take() {
            None => Active::new(config, self.context_id),
            Some(mut active) => {
                active.reporter.set_limits(config.limits);
                Active { config, ..active }
            }
        };
        plugin.active.insert(active).set_tick();
    }

    fn with_active<T: Default>(&self, work: impl FnOnce(&mut Active) -> T) -> T {
        match self.plugin.try_borrow_mut() {
            Ok(mut plugin) => plugin.active.as_mut().map(work).unwrap_or_default(),
            Err(_) => T::default(),
        }
    }
}

impl Context for Root {
    fn on_grpc_call_response(&mut self, token: u32, status: u32, size: usize) {
        let more = self.with_active(|active| {
            active.on_answer(token, status, size);
            // While ending: one refusal is final, but what was recorded during the call still goes out.
            self.ending && status == 0 && active.flush()
        });
        if self.ending && !more {
            host::done();
        }
    }

    /// The end of this configuration or of the proxy: what is left goes out before the context is destroyed.
    fn on_done(&mut self) -> bool {
        let under_way = self.with_active(Active::flush);
        self.ending = under_way;
        !under_way
    }
}

impl RootContext for Root {
    // Always true: false would make Envoy drop the plugin, and with it a good configuration from before.
    fn on_configure(&mut self, size: usize) -> bool {
        self.configure(&host::plugin_configuration(size));
        true
    }

    fn on_tick(&mut self) {
        if !self.ending {
            self.with_active(Active::on_tick);
        }
    }

    // The same module as an access logger (envoy.access_loggers.wasm) is called here, without a context per request.
    fn on_log(&mut self) {
        if let Ok(mut plugin) = self.plugin.try_borrow_mut() {
            plugin.record();
        }
    }

    fn create_http_context(&self, _context_id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream::new(Rc::clone(&self.plugin))))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}
