//! Simulated cards: the RTL in Verilator behind a vfio-user socket, reached through the driver as any card is.

use crate::arguments::Serve;
use crate::{CliError, Outcome, progress, report};
use glovebox::driver::card::CardBackend;
use glovebox::driver::vfio_user::server::CardServer;
use glovebox::evaluation::EvaluationKeys;
use glovebox::{Device, Engine};
use std::path::Path;
use std::sync::Arc;

/// A simulated card that listens on a socket of its own until it is dropped.
pub(crate) struct SimulatedCard {
    server: CardServer,
    lanes: u32,
    /// Holds the socket; removed last.
    _folder: tempfile::TempDir,
}

impl SimulatedCard {
    /// Verilates the card, if it has not been before, and serves it.
    pub(crate) fn start(lanes: u32, degree: usize) -> Result<Self, CliError> {
        let card = build(lanes, degree)?;
        let folder = tempfile::Builder::new().prefix("glovebox-").tempdir()?;
        let server = CardServer::start(&folder.path().join("card.sock"), card)?;
        Ok(Self { server, lanes, _folder: folder })
    }

    /// An engine on this card.
    pub(crate) fn open(&self, keys: &EvaluationKeys) -> Result<Opened<'_>, CliError> {
        let engine = Engine::open(&Device::VfioUser(self.server.path().into()), keys)?;
        Ok(Opened { engine, name: format!("sim (L = {})", self.lanes), _card: Card::Lent(self) })
    }
}

/// What an engine's card must outlive it by.
enum Card<'a> {
    None,
    Lent(#[allow(dead_code)] &'a SimulatedCard),
    Own(#[allow(dead_code)] Box<SimulatedCard>),
}

/// An engine on a device, and what has to live as long as it.
pub(crate) struct Opened<'a> {
    pub(crate) engine: Engine,
    /// What to call the device.
    pub(crate) name: String,
    _card: Card<'a>,
}

impl Opened<'static> {
    /// Opens any device; for `sim`, starts a simulated card first.
    pub(crate) fn new(device: &Device, lanes: u32, keys: &EvaluationKeys) -> Result<Self, CliError> {
        if *device == Device::Sim {
            let card = Box::new(SimulatedCard::start(lanes, keys.parameters().ring_degree.0)?);
            let Opened { engine, name, .. } = card.open(keys)?;
            return Ok(Self { engine, name, _card: Card::Own(card) });
        }
        let engine = Engine::open(device, keys)?;
        let name = engine.device().to_string();
        Ok(Self { engine, name, _card: Card::None })
    }
}

/// `glovebox serve`: a simulated card for other programs.
pub(crate) fn serve(options: &Serve) -> Result<Outcome, CliError> {
    let card = build(options.card.lanes, options.degree)?;
    let server = CardServer::start(&options.socket, card)?;
    report::note(&format!(
        "a card with {} lanes for N = {} listens as vfio-user:{}",
        options.card.lanes,
        options.degree,
        options.socket.display()
    ));
    // Dropped on a signal, so that the socket does not stay behind.
    let (stop, stopped) = std::sync::mpsc::channel();
    ctrlc::set_handler(move || {
        // A second signal while the first is being served needs nothing more.
        let _ = stop.send(());
    })?;
    stopped.recv()?;
    drop(server);
    Ok(Outcome::Done)
}

fn build(lanes: u32, degree: usize) -> Result<Arc<dyn CardBackend>, CliError> {
    let _ = Path::new("");
    use glovebox::driver::model::*;
    Ok(Arc::new(SoftwareCard::new(ModelConfig { lanes, degree_log2: degree.trailing_zeros(), ring_pairs: 2 })?))
}
