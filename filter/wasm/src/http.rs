//! One HTTP stream: callbacks in, host calls out.

use std::{collections::VecDeque, rc::Rc};

use fingerpost_core::{
    body::Edit,
    exchange::{Call, CalloutError, Effects, Event, Exchange, Flow, Micros, Wanted},
};
use proxy_wasm::{
    traits::{Context, HttpContext},
    types::{Action, BufferType, MapType},
};

use crate::{
    Shared,
    host::{self, Now, Response},
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
    /// Calls under way. The clock is read only for them: a named model pays nothing for it.
    pub(crate) calls: Vec<Running>,
}

/// A call under way.
pub(crate) struct Running {
    token: u32,
    call: Call,
    since: Micros,
}

impl Stream {
    fn on(&mut self, side: Side, event: Event<'_>) -> Action {
        let shared = Rc::clone(&self.shared);
        let in_callout = matches!(event, Event::CalloutResult { .. });
        let mut effects = self.exchange.on(&shared.plugin, event);
        let mut failed = VecDeque::new();
        let mut action = loop {
            for callout in std::mem::take(&mut effects.callouts) {
                match host::call(&shared.plugin.config.callouts, &callout) {
                    Ok(token) => self.calls.push(Running { token, call: callout.call, since: host::now() }),
                    Err(status) => {
                        log::warn!("{:?} cannot be called: {status:?}", callout.call);
                        failed.push_back(callout.call);
                    }
                }
            }
            let action = self.carry_out(side, effects);
            let Some(call) = failed.pop_front() else { break action };
            let outcome = Err(CalloutError::Dispatch);
            effects = self.exchange.on(&shared.plugin, Event::CalloutResult { call, outcome, waited: Micros(0) });
            // Unless this is a callout's own callback, the stream was never paused: its callback still runs.
            if effects.flow == Flow::Resume && !in_callout {
                effects.flow = Flow::Continue;
            }
        };
        if self.exchange.has_replied() {
            action = Action::Pause;
        }
        action
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
                let resumed = match side {
                    Side::Request => proxy_wasm::hostcalls::resume_http_request(),
                    Side::Response => proxy_wasm::hostcalls::resume_http_response(),
                };
                host::tell("resume", resumed);
                Action::Continue
            }
        }
    }
}

impl Context for Stream {
    fn on_grpc_call_response(&mut self, token: u32, status: u32, size: usize) {
        let Some(at) = self.calls.iter().position(|running| running.token == token) else { return };
        let Running { call, since, .. } = self.calls.swap_remove(at);
        let reply = if status == 0 { host::grpc_reply(size) } else { Vec::new() };
        let outcome = if status == 0 { Ok(reply.as_slice()) } else { Err(CalloutError::Status(status)) };
        let waited = Micros(host::now().0.saturating_sub(since.0));
        let side = if call.holds_response() { Side::Response } else { Side::Request };
        self.on(side, Event::CalloutResult { call, outcome, waited });
    }
}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _count: usize, end: bool) -> Action {
        let claim = self.shared.plugin.config.owner.jwt.as_ref().and_then(host::claim);
        self.on(
            Side::Request,
            Event::RequestHeaders { headers: host::headers(MapType::HttpRequestHeaders), claim, end },
        )
    }

    fn on_http_request_body(&mut self, size: usize, end: bool) -> Action {
        if !self.exchange.wants_request_body() {
            return if self.exchange.is_awaiting() { Action::Pause } else { Action::Continue };
        }
        let event = if end {
            Event::RequestBody { body: host::body(BufferType::HttpRequestBody, size), moment: &Now }
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

    fn on_http_response_body(&mut self, size: usize, end: bool) -> Action {
        let read = match self.exchange.wanted() {
            Wanted::Nothing => return Action::Continue,
            Wanted::Whole if !end => return Action::Pause,
            Wanted::Start(_) if size == 0 => return Action::Continue,
            Wanted::Start(most) => most.min(size),
            Wanted::Whole | Wanted::Chunks => size,
        };
        let chunk = if read == 0 { Vec::new() } else { host::body(BufferType::HttpResponseBody, read) };
        self.on(Side::Response, Event::ResponseBody { chunk: &chunk, cut: read < size, end, moment: &Now })
    }
}
