//! Another process's console server, read over the network. Separate from the process's own, because nothing of it can be
//! trusted: neither its time, nor its size, nor its settings.

use std::sync::mpsc::sync_channel;
use std::time::Duration;

use console_api::instrument::instrument_client::InstrumentClient;
use console_api::instrument::{InstrumentRequest, StateRequest, Update};
use lens_core::{Reading, Unavailable, threads};
use tracing::subscriber::NoSubscriber;

use super::decode;
use super::state::State;
use super::{MAX_REMOTE_BYTES, REMOTE_DEADLINE};

/// How much longer than its own deadline the thread may take to say so.
const GRACE: Duration = Duration::from_secs(1);

/// Reads what a console server knows now: `console-subscriber` in another process, or the service's own in this one. The
/// server has [`REMOTE_DEADLINE`] to answer; the caller waits a second longer at most, for the thread that asks. No more
/// than [`MAX_REMOTE_BYTES`] are read.
///
/// `address` is a host with a port (`"127.0.0.1:6669"`), or a URL that begins with `http://`.
///
/// # What it changes there
///
/// What every client does. Whoever else watches that server does not get the polls of operations and the counts of lost
/// events of the instant, which it tells only once. And a server that knows more than its 4 MiB for a message halves its
/// `retention`, for good, until it knows less, or `retention` is down to `publish_interval`.
///
/// # Errors
///
/// There is no such server, it does not answer in time, or it answers something else.
pub fn read_server(address: &str) -> Reading<State> {
    let url = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
    let (answer, answered) = sync_channel(1);
    let thread = threads::spawn("lens-console-at", None, move || {
        let _silence = tracing::subscriber::set_default(NoSubscriber::default());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let update = match runtime {
            Ok(runtime) => runtime.block_on(async {
                let late = || failed(&url, format!("it does not answer within {REMOTE_DEADLINE:?}"));
                tokio::time::timeout(REMOTE_DEADLINE, ask(&url)).await.unwrap_or_else(|_| Err(late()))
            }),
            Err(error) => Err(failed(&url, error)),
        };
        let _ = answer.try_send(update);
    });
    thread.map_err(|error| failed(address, error))?;
    let update = answered
        .recv_timeout(REMOTE_DEADLINE + GRACE)
        .map_err(|_| failed(address, "the thread that asks it has no answer in time"))??;
    let mut state = decode::state(&update, None).ok_or_else(|| failed(address, "its answer lacks a part"))?;
    state.address = Some(address.to_owned());
    Ok(state)
}

async fn ask(url: &str) -> Reading<Update> {
    let refused = |status: &dyn std::fmt::Display| failed(url, status);
    let client = InstrumentClient::connect(url.to_owned()).await;
    let mut client = client.map_err(|error| refused(&with_cause(&error)))?.max_decoding_message_size(MAX_REMOTE_BYTES);
    // Any request drains the server's queue, after it was handled: this one first, which does nothing else there.
    let drained = client.watch_state(StateRequest {}).await.map_err(|status| refused(&status))?;
    drained.into_inner().message().await.map_err(|status| refused(&status))?;
    let updates = client.watch_updates(InstrumentRequest {}).await.map_err(|status| refused(&status))?;
    let update = updates.into_inner().message().await.map_err(|status| refused(&status))?;
    let update = update.ok_or_else(|| failed(url, "it has ended"))?;
    // Only the first message has all descriptions. The server has halved its retention to the least before it leaves a
    // message out, so a lower one would not help.
    if update.new_metadata.is_none() {
        return Err(failed(
            url,
            "its state was larger than 4 MiB, which it does not send; it has thrown away what had ended: ask again, and if that fails, too, what lives there alone is too much for it",
        ));
    }
    Ok(update)
}

fn with_cause(error: &dyn std::error::Error) -> String {
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("{error}{cause}")
}

fn failed(address: &str, why: impl std::fmt::Display) -> Unavailable {
    Unavailable::failed(format!("the console server at {address} cannot be read: {why}"))
}
