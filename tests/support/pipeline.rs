//! `ffmpeg … | curl -T - …`: publishing as the README shows it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use rustix::process::{Pid, Signal, kill_process};

use super::media::Kind;

/// A pair of ffmpeg and curl that publish a device.
pub struct Pipeline {
    ffmpeg: Child,
    curl: Child,
}

impl Pipeline {
    /// Publishes what ffmpeg makes of these arguments (`-f … -` is added).
    pub fn start(http: SocketAddr, device: &str, kind: Kind, arguments: &[&str]) -> Self {
        let format: &[&str] = match kind {
            Kind::H264 => &["-f", "h264", "-"],
            Kind::Vp8 => &["-f", "ivf", "-"],
            Kind::Opus => &["-page_duration", "20000", "-f", "ogg", "-"],
        };
        let mut ffmpeg = ffmpeg()
            .args(arguments)
            .args(["-flush_packets", "1"])
            .args(format)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("ffmpeg is installed");
        let curl = Command::new("curl")
            .args(["--silent", "--show-error", "--no-buffer", "-T", "-", "-H"])
            .arg(format!("Content-Type: {}", kind.content_type()))
            .arg(format!(
                "http://{http}/api/media/devices/{device}/{}",
                kind.track()
            ))
            .stdin(ffmpeg.stdout.take().expect("piped"))
            .stdout(Stdio::piped())
            .spawn()
            .expect("curl is installed");
        Self { ffmpeg, curl }
    }

    /// Publishes a file again and again, at its own speed.
    pub fn replay(http: SocketAddr, device: &str, kind: Kind, file: &Path) -> Self {
        let file = file.to_str().expect("a path in UTF-8");
        Self::start(
            http,
            device,
            kind,
            &["-re", "-stream_loop", "-1", "-i", file, "-c", "copy"],
        )
    }

    /// Ends ffmpeg as Ctrl-C does, and gives what the server told curl.
    pub fn finish(mut self) -> String {
        let _ = kill_process(Pid::from_child(&self.ffmpeg), Signal::INT);
        let _ = self.ffmpeg.wait();
        let mut answer = String::new();
        let output = self.curl.stdout.as_mut().expect("piped");
        std::io::Read::read_to_string(output, &mut answer).expect("curl's output");
        let _ = self.curl.wait();
        answer
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        for child in [&mut self.ffmpeg, &mut self.curl] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A clip of 10 s as a camera makes it, 720p30 at 2 Mbit/s, or Opus; made at its first use and kept with the build. In
/// Matroska, since ffmpeg cannot repeat an elementary stream.
pub fn camera_clip(kind: Kind) -> PathBuf {
    // Tests of one binary share it; two of them making it at once would read each other's halves.
    static MAKING: Mutex<()> = Mutex::new(());
    let _making = MAKING
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let picture =
        "-f lavfi -i testsrc2=size=1280x720:rate=30,noise=alls=12:allf=t -pix_fmt yuv420p";
    let rate = "-b:v 2M -maxrate 2M -bufsize 1M -g 60";
    let (name, arguments) = match kind {
        Kind::H264 => {
            let encoder = "-c:v libx264 -preset veryfast -profile:v baseline -bf 0 -sc_threshold 0";
            ("camera_h264.mkv", format!("{picture} {encoder} {rate}"))
        }
        Kind::Vp8 => {
            let encoder = "-c:v libvpx -deadline realtime -cpu-used 8 -auto-alt-ref 0";
            ("camera_vp8.mkv", format!("{picture} {encoder} {rate}"))
        }
        Kind::Opus => {
            let sine = "-f lavfi -i sine=frequency=440:sample_rate=48000";
            ("sine_opus.mkv", format!("{sine} -c:a libopus -b:a 64k"))
        }
    };
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if !path.exists() {
        let unfinished = path.with_extension("unfinished");
        let status = ffmpeg()
            .args(arguments.split_ascii_whitespace())
            .args(["-t", "10", "-f", "matroska", "-y"])
            .arg(&unfinished)
            .status();
        assert!(
            status.expect("ffmpeg is installed").success(),
            "ffmpeg could not make {name}"
        );
        std::fs::rename(&unfinished, &path).expect("the same folder");
    }
    path
}

fn ffmpeg() -> Command {
    let mut command = Command::new("ffmpeg");
    command.args(["-hide_banner", "-loglevel", "error", "-nostdin"]);
    command
}
