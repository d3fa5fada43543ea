//! Simulated cards: the RTL in Verilator behind a vfio-user socket, reached through the driver as any card is.

use crate::arguments::Serve;
use crate::{CliError, Outcome, progress, report};
use glovebox::driver::vfio_user::server::CardServer;
use glovebox::evaluation::EvaluationKeys;
use glovebox::golden::params::BootstrapParameters;
use glovebox::{Device, Engine};
use glovebox_sim::card::{CardBuild, VerilatedCard};
use glovebox_sim::verilator::Step;
use indicatif::ProgressBar;

/// Card memory of the simulated card that a command starts for itself: room for the keys of any set.
const MEMORY_MIB: u32 = 256;

/// A simulated card that listens on a socket of its own until it is dropped.
pub(crate) struct SimulatedCard {
    server: CardServer,
    lanes: u32,
    /// Holds the socket; removed last.
    _folder: tempfile::TempDir,
}

impl SimulatedCard {
    /// Verilates the card, if it has not been before, and serves it.
    pub(crate) fn start(lanes: u32, parameters: &BootstrapParameters) -> Result<Self, CliError> {
        let card = build(lanes, parameters.ring_degree.0, parameters.glwe_dimension.0, MEMORY_MIB)?;
        let folder = tempfile::Builder::new().prefix("glovebox-").tempdir()?;
        let server = card.serve(&folder.path().join("card.sock"))?;
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
            let card = Box::new(SimulatedCard::start(lanes, keys.parameters())?);
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
    let card = build(options.card.lanes, options.degree, options.glwe_dimension, options.memory_mib)?;
    let server = card.serve(&options.socket)?;
    report::note(&format!(
        "a card with {} lanes for N = {}, k = {} listens as vfio-user:{}",
        options.card.lanes,
        options.degree,
        options.glwe_dimension,
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

/// The card's RTL, generated, verilated and running; a bar on the terminal if it has to be built.
fn build(lanes: u32, degree: usize, glwe_dimension: usize, memory_mib: u32) -> Result<VerilatedCard, CliError> {
    let what = format!("simulated card with {lanes} lanes for N = {degree}, k = {glwe_dimension}: generating RTL");
    let spinner = progress::spinner(&what);
    let mut bar: Option<ProgressBar> = None;
    let card = CardBuild::new(lanes as usize, degree).glwe_dimension(glwe_dimension);
    let card = card.memory_bytes(u64::from(memory_mib) << 20);
    let card = card.progress(|step| show_build(&spinner, &mut bar, step)).build();
    spinner.finish_and_clear();
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    Ok(card?)
}

/// Shows a step of a model's build: the spinner gives way to a bar.
pub(crate) fn show_build(spinner: &ProgressBar, bar: &mut Option<ProgressBar>, step: Step) {
    spinner.finish_and_clear();
    let bar = bar.get_or_insert_with(|| progress::bar("verilating the card", step.total));
    bar.set_length(step.total as u64);
    bar.set_position(step.done as u64);
    bar.set_message(step.what);
}
