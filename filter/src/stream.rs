//! One request: nothing is done until it has ended.

use std::{cell::RefCell, rc::Rc};

use proxy_wasm::traits::{Context, HttpContext};

use crate::root::Plugin;

/// A request's context. It keeps nothing; Envoy keeps all there is to know.
pub(crate) struct Stream {
    plugin: Rc<RefCell<Plugin>>,
}

impl Stream {
    pub(crate) fn new(plugin: Rc<RefCell<Plugin>>) -> Self {
        Self { plugin }
    }
}

impl Context for Stream {}

impl HttpContext for Stream {
    // Once per request, at its end; `on_done` comes later, and may come without this.
    fn on_log(&mut self) {
        if let Ok(mut plugin) = self.plugin.try_borrow_mut() {
            plugin.record();
        }
    }
}
