//! One HTTP stream: callbacks in, host calls out.

use std::rc::Rc;

use fingerpost_core::{
    body::Edit,
    exchange::{CalloutError, Effects, Event, Exchange, Flow, Micros},
};
use proxy_wasm::{
    traits::{Context, HttpContext},
    types::{Action, BufferType, MapType},
};

use crate::{
    Shared,
    host::{self, Response},
};

/// Which headers an effect speaks of.
#[derive(Debug, Clone, Copy)]
enum Side {
    Request,
    Response,
}

impl Side {
    const fn headers(self) -> MapType {
        match self {
            Self::Request => MapType::HttpRequestHeaders,
            Self::Response => MapType::HttpResponseHeaders,
        }
    }

    const fn body(self) -> BufferType {
        match self {
            Self::Request => BufferType::HttpRequestBody,
            Self::Response => BufferType::HttpResponseBody,
        }
    }
}

/// A stream and its exchange.
pub(crate) struct Stream {
    pub(crate) shared: Rc<Shared>,
    pub(crate) exchange: Exchange,
    /// When the classifier was called. The clock is read only then: a named model pays nothing for it.
    pub(crate) asked: Micros,
}

impl Stream {
    fn on(&mut self, side: Side, event: Event<'_>) -> Action {
        let shared = Rc::clone(&self.shared);
        let mut effects = self.exchange.on(&shared.plugin, event);
        while let Some(callout) = effects.callout.take() {
            match host::call(&shared.plugin.config.callouts.classifier, &callout) {
                Ok(_) => {
                    self.asked = host::now();
                    break;
                }
                Err(status) => {
                    log::warn!("the classifier cannot be called: {status:?}");
                    self.carry_out(side, effects);
                    let outcome = Err(CalloutError::Dispatch);
                    effects = self.exchange.on(&shared.plugin, Event::CalloutResult { outcome, waited: Micros(0) });
                    // The stream was never paused: its callback still runs.
                    if effects.flow == Flow::Resume {
                        effects.flow = Flow::Continue;
                    }
                }
            }
        }
        self.carry_out(side, effects)
    }

    fn carry_out(&self, side: Side, effects: Effects) -> Action {
        for counter in effects.count {
            if let Some(id) = self.shared.counters.get(&counter) {
                host::tell("count", proxy_wasm::hostcalls::increment_metric(*id, 1));
            }
        }
        if let Some(reply) = effects.reply {
            host::reply(&reply);
            return Action::Pause;
        }
        for name in &effects.remove {
            host::tell("remove a header", host::set_header(side.headers(), name, None));
        }
        for (name, value) in &effects.headers {
            host::tell("set a header", host::set_header(side.headers(), name, value.as_deref()));
        }
        if let Some(Edit { replaced, bytes }) = &effects.body {
            host::tell("change the body", proxy_wasm::hostcalls::set_buffer(side.body(), 0, *replaced, bytes));
        }
        match effects.flow {
            Flow::Continue => Action::Continue,
            Flow::Pause => Action::Pause,
            Flow::Resume => {
                host::tell("resume", proxy_wasm::hostcalls::resume_http_request());
                Action::Continue
            }
        }
    }
}

impl Context for Stream {
    fn on_grpc_call_response(&mut self, _token: u32, status: u32, size: usize) {
        let reply = if status == 0 { host::grpc_reply(size) } else { Vec::new() };
        let outcome = if status == 0 { Ok(reply.as_slice()) } else { Err(CalloutError::Status(status)) };
        let waited = Micros(host::now().0.saturating_sub(self.asked.0));
        self.on(Side::Request, Event::CalloutResult { outcome, waited });
    }
}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _count: usize, end: bool) -> Action {
        self.on(Side::Request, Event::RequestHeaders { headers: host::headers(MapType::HttpRequestHeaders), end })
    }

    fn on_http_request_body(&mut self, size: usize, end: bool) -> Action {
        if !self.exchange.wants_request_body() {
            return if self.exchange.is_awaiting() { Action::Pause } else { Action::Continue };
        }
        let event = if end {
            Event::RequestBody { body: host::body(BufferType::HttpRequestBody, size) }
        } else {
            Event::RequestBodyPart { size }
        };
        self.on(Side::Request, event)
    }

    fn on_http_request_trailers(&mut self, _count: usize) -> Action {
        self.on(Side::Request, Event::RequestTrailers)
    }

    fn on_http_response_headers(&mut self, _count: usize, end: bool) -> Action {
        self.on(Side::Response, Event::ResponseHeaders { response: &Response, end })
    }

    fn on_http_response_body(&mut self, size: usize, _end: bool) -> Action {
        let wanted = self.exchange.wants_response_body();
        if wanted == 0 || size == 0 {
            return Action::Continue;
        }
        let chunk = host::body(BufferType::HttpResponseBody, wanted.min(size));
        self.on(Side::Response, Event::ResponseBody { chunk: &chunk, cut: wanted < size })
    }
}
