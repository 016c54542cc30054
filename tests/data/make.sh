#!/usr/bin/env bash
# Makes the media of the tests: tiny, but real encoders' output. Wants ffmpeg with libx264, libvpx and libopus.
set -euo pipefail
cd "$(dirname "$0")"

picture="testsrc2=size=160x120:rate=30:duration=2"
ffmpeg="ffmpeg -hide_banner -loglevel error -y"
x264="-c:v libx264 -threads 1 -pix_fmt yuv420p -g 30 -keyint_min 30 -sc_threshold 0 -flags:v +bitexact"

# 60 pictures at 30 fps, a keyframe each second.
$ffmpeg -f lavfi -i "$picture" $x264 -profile:v baseline -bf 0 -crf 40 -preset veryslow \
    -bsf:v filter_units=remove_types=6 -fflags +bitexact -f h264 tiny.h264
$ffmpeg -f lavfi -i "$picture" -c:v libvpx -threads 1 -pix_fmt yuv420p -g 30 -keyint_min 30 -b:v 60k -crf 50 \
    -auto-alt-ref 0 -flags:v +bitexact -fflags +bitexact -f ivf tiny_vp8.ivf
# 100 packets of 20 ms, one a page: 1.99 s and the encoder's delay.
$ffmpeg -f lavfi -i "sine=frequency=440:sample_rate=48000:duration=1.99" -c:a libopus -b:a 12k -ac 1 \
    -frame_duration 20 -page_duration 20000 -flags:a +bitexact -fflags +bitexact -f ogg tiny.ogg

# What a publisher sends by mistake. Each must be refused with a sentence that says what to do.
$ffmpeg -f lavfi -i "$picture" -t 0.5 $x264 -profile:v main -bf 2 -b_strategy 0 -crf 45 -fflags +bitexact -f h264 b_frames.h264
$ffmpeg -f lavfi -i "$picture" -t 0.2 $x264 -bf 0 -crf 45 -movflags +faststart -fflags +bitexact -f mp4 not_annexb.mp4
$ffmpeg -f lavfi -i "$picture" -t 0.2 -c:v libvpx-vp9 -threads 1 -pix_fmt yuv420p -b:v 30k -crf 60 -fflags +bitexact -f ivf vp9.ivf
$ffmpeg -f lavfi -i "sine=frequency=440:sample_rate=48000:duration=0.2" -c:a libvorbis -fflags +bitexact -f ogg vorbis.ogg
