//! Proof of small blocks: properties put inside a generated module, yosys, yosys-smtbmc, Yices.

use crate::SimError;
use crate::synthesis::{smtbmc, yosys};
use crate::verilator::{Scratch, write_file};

/// A block and what shall hold of it.
#[derive(Clone, Copy, Debug)]
pub struct Problem<'a> {
    /// Its top module.
    pub top: &'a str,
    /// Its Verilog; the top module comes first, as the generator writes it.
    pub verilog: &'a str,
    /// SystemVerilog that is put in front of the top module's `endmodule`: assumptions, assertions, cover statements.
    pub properties: &'a str,
    /// Macros of the properties.
    pub defines: &'a [(&'a str, String)],
    /// Instances of the top module that are cut out: their outputs become free inputs.
    pub cut: &'a [&'a str],
}

/// How a problem is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Whether the assertions hold in that many cycles from the initial state.
    Bounded(usize),
    /// Whether they hold in any cycle if they held in that many before it. Together with [`Question::Bounded`] of as many
    /// cycles: whether they hold for ever.
    Induction(usize),
    /// Whether every cover statement is reached within that many cycles: the assumptions leave something to prove.
    Cover(usize),
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Yes.
    Holds,
    /// No; what the checker said, with the property and the cycle.
    Fails(String),
}

/// A problem translated for the solver.
#[derive(Debug)]
pub struct Checker {
    top: String,
    scratch: Scratch,
}

impl<'a> Problem<'a> {
    /// Translates the problem.
    ///
    /// # Errors
    /// [`SimError::Tool`] if yosys refuses the text, [`SimError::ToolMissing`], [`SimError::File`].
    pub fn checker(&self) -> Result<Checker, SimError> {
        let scratch = Scratch::new("formal", self.top)?;
        let refused = |output: &str| SimError::Tool {
            tool: "formal".into(),
            design: self.top.into(),
            status: "refused".into(),
            output: output.into(),
        };
        let end = self.verilog.find("\nendmodule").ok_or_else(|| refused("the text has no endmodule"))?;
        let (module, rest) = self.verilog.split_at(end + 1);
        if !module.contains(&format!("module {} ", self.top)) {
            return Err(refused("the top module is not the first one"));
        }
        let defines: String = self.defines.iter().map(|(name, value)| format!("`define {name} {value}\n")).collect();
        write_file(&scratch.0.join("block.sv"), &format!("{defines}{module}{}{rest}", self.properties))?;
        let mut commands =
            vec!["read_verilog -sv -formal block.sv".to_string(), format!("hierarchy -check -top {}", self.top)];
        commands.extend(self.cut.iter().map(|instance| format!("cutpoint {}/{instance}", self.top)));
        commands.push(format!("prep -flatten -top {}", self.top));
        commands.extend(["async2sync", "dffunmap", "opt_clean", "write_smt2 -wires block.smt2"].map(String::from));
        yosys(self.top, &scratch.0, &commands)?;
        Ok(Checker { top: self.top.to_string(), scratch })
    }
}

impl Checker {
    /// Asks the solver. Assumptions that contradict each other are an error, not an answer.
    ///
    /// # Errors
    /// [`SimError::Tool`] if the checker ends without an answer, [`SimError::ToolMissing`].
    pub fn ask(&self, question: Question) -> Result<Answer, SimError> {
        let (cycles, kind) = match question {
            Question::Bounded(cycles) => (cycles, "--presat"),
            Question::Induction(cycles) => (cycles, "-i"),
            Question::Cover(cycles) => (cycles, "-c"),
        };
        match smtbmc(&self.top, &self.scratch.0, &[kind, "-t", &cycles.to_string(), "block.smt2"]) {
            Ok(output) if output.contains("Status: PASSED") => Ok(Answer::Holds),
            Err(SimError::Tool { output, .. }) if output.contains("Status: FAILED") => Ok(Answer::Fails(output)),
            Ok(output) => Err(SimError::Tool {
                tool: "yosys-smtbmc".into(),
                design: self.top.clone(),
                status: "no answer".into(),
                output,
            }),
            Err(error) => Err(error),
        }
    }
}
