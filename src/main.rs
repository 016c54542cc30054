//! Command line → configuration → shards → exit code.

use std::process::ExitCode;

use media_service::config::{self, Command, Inputs};
use media_service::{clock, launch, logging, memory};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    memory::hold_free_memory();
    let inputs = Inputs::of_process();
    let config = match inputs.load() {
        Ok(Command::Serve(config)) => config,
        Ok(Command::Token(request)) => {
            return match request.mint(clock::unix_seconds()) {
                Ok(token) => {
                    println!("{token}");
                    ExitCode::SUCCESS
                }
                Err(fault) => {
                    eprintln!("token: {fault}");
                    ExitCode::from(config::FAULT_EXIT_CODE)
                }
            };
        }
        Ok(Command::PrintConfig(text)) => {
            print!("{text}");
            return ExitCode::SUCCESS;
        }
        Ok(Command::Exit { stdout, code }) => {
            print!("{stdout}");
            return ExitCode::from(code);
        }
        Err(faults) => {
            eprintln!("{faults}");
            return ExitCode::from(config::FAULT_EXIT_CODE);
        }
    };
    let log = logging::init(&config.log);
    match launch::serve(inputs, config, &log) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::from(error.exit_code())
        }
    }
}
