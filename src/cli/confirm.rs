//! Confirmation of commands that remove or repeat events.

use std::io::IsTerminal;

use super::CommandFailure;

/// Asks a question on a terminal, unless `--yes` was given. Returns `Err` with `refusal` for any answer but yes.
/// Without a terminal nobody can answer: `without_terminal` decides.
pub(super) fn confirm(
    question: &str,
    refusal: &str,
    is_yes: bool,
    without_terminal: Unattended,
) -> Result<(), CommandFailure> {
    if is_yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return match without_terminal {
            Unattended::Proceed => Ok(()),
            Unattended::Refuse => Err(CommandFailure::Usage(format!(
                "davinci-siem: {question} Nobody can answer without a terminal; {refusal}. Add --yes to confirm"
            ))),
        };
    }
    eprint!("{question} [y/N] ");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(CommandFailure::Failed(refusal.to_owned())),
    }
}

/// Effect of a missing terminal on an unconfirmed command.
#[derive(Debug, Clone, Copy)]
pub(super) enum Unattended {
    /// The command removes nothing.
    Proceed,
    /// The command removes events permanently.
    Refuse,
}
