#!/usr/bin/env bash
# Makes the demo clip: demo.h264 (720p30, 10 s) and demo.ogg (Opus, 10 s). Both loop without a seam.
# Wants ffmpeg with libx264, libopus and drawtext, and the DejaVu fonts (Debian: ffmpeg, fonts-dejavu-core).
set -euo pipefail
cd "$(dirname "$0")"

FONTS=${FONTS:-/usr/share/fonts/truetype/dejavu}
SECONDS_PER_LOOP=10
FPS=30

# Everything that moves is a function of T with a period that divides the loop: the last picture
# leads into the first.
turn="2*PI*T/$SECONDS_PER_LOOP"

# Two soft lights drift over a dark ground. Drawn small: enlarging is what makes them soft.
light_a="exp(-(pow((X/W-0.30-0.08*cos($turn))*1.6,2)+pow(Y/H-0.35-0.14*sin($turn),2))*5)"
light_b="exp(-(pow((X/W-0.78+0.07*sin($turn))*1.5,2)+pow(Y/H-0.70+0.13*cos($turn),2))*6)"
ground="geq=r='14+26*$light_a+74*$light_b':g='22+70*$light_a+18*$light_b':b='44+84*$light_a+62*$light_b'"

# A dial: a comet runs round once a loop, and the disc in its middle beats with the bell each second.
radius="hypot(X-W/2,Y-H/2)"
behind="mod($turn-PI/2-atan2(Y-H/2,X-W/2)+4*PI,2*PI)/(2*PI)"
ring="clip(7-abs($radius-150),0,1)*(0.16+0.84*pow(1-$behind,3))"
beat="clip(26+30*exp(-5*mod(T,1))-$radius,0,1)*(0.35+0.65*exp(-5*mod(T,1)))"
dial="geq=r=255:g=238:b=214:a='255*clip($ring+$beat,0,1)'"

# mm:ss.t of the loop, and the number of the picture in it.
clock="00\:%{eif\:floor(t)\:d\:2}.%{eif\:floor(mod(t*10+0.001\,10))\:d}"
caption="1280×720   $FPS fps   picture %{eif\:n\:d\:3}"

# A block runs to and fro in even steps: any picture that is lost or late shows as a jump.
block="104+(1071-w)*(1-abs(2*t/$SECONDS_PER_LOOP-1))"

bars=""
i=0
for colour in 0xC0C0C0 0xC0C000 0x00C0C0 0x00C000 0xC000C0 0xC00000 0x0000C0; do
    bars+=",drawbox=x=$((104 + i * 153)):y=616:w=153:h=10:color=$colour:t=fill"
    i=$((i + 1))
done

# Constrained baseline without B-frames or scene cuts, a keyframe each 2 s: what every WebRTC
# receiver decodes. One thread, so that the bytes are the same wherever it is made with this ffmpeg.
ffmpeg -hide_banner -loglevel error -y \
    -f lavfi -i "nullsrc=size=160x90:rate=$FPS:duration=$SECONDS_PER_LOOP,format=gbrp,$ground,scale=1280x720:flags=bicubic" \
    -f lavfi -i "nullsrc=size=340x340:rate=$FPS:duration=$SECONDS_PER_LOOP,format=rgba,$dial" \
    -f lavfi -i "color=0xFFEED6:size=44x10:rate=$FPS:duration=$SECONDS_PER_LOOP" \
    -filter_complex "
        [0][1]overlay=x=836:y=150:format=gbrp[a];
        [a][2]overlay=x='$block':y=586:format=gbrp$bars,
        drawtext=fontfile=$FONTS/DejaVuSansMono-Bold.ttf:fontsize=148:fontcolor=0xFFFFFF:x=96:y=232:text='$clock',
        drawtext=fontfile=$FONTS/DejaVuSans-Bold.ttf:fontsize=34:fontcolor=0xFFEED6:x=104:y=150:text='media-service demo',
        drawtext=fontfile=$FONTS/DejaVuSansMono.ttf:fontsize=26:fontcolor=0xFFFFFF@0.7:x=104:y=410:text='$caption',
        scale=out_color_matrix=bt709:out_range=tv,format=yuv420p[v]" \
    -map "[v]" -c:v libx264 -profile:v baseline -level:v 3.1 -preset veryslow -crf 31 -threads 1 \
    -bf 0 -g $((2 * FPS)) -keyint_min $((2 * FPS)) -sc_threshold 0 \
    -color_primaries bt709 -color_trc bt709 -colorspace bt709 -color_range tv \
    -bsf:v filter_units=remove_types=6 -f h264 demo.h264

# One soft bell a second, a slow pentatonic tune. Each note has died away before the next, so the
# loop has no click. 9.99 s and the encoder's own delay of 6.5 ms fill 500 packets of 20 ms, the
# length of the video to the sample; a page per packet, so that nothing waits for a page to fill.
note="220*(1+0.125*eq(mod(floor(t),5),1)+0.25*eq(mod(floor(t),5),2)+0.5*eq(mod(floor(t),5),3)+0.6667*eq(mod(floor(t),5),4))"
bell="0.16*min(1,mod(t,1)*60)*exp(-5*mod(t,1))*(sin(2*PI*mod(t,1)*$note)+0.35*exp(-4*mod(t,1))*sin(4*PI*mod(t,1)*$note))"
ffmpeg -hide_banner -loglevel error -y -f lavfi -i "aevalsrc='$bell':s=48000:d=9.99" \
    -c:a libopus -b:a 32k -frame_duration 20 -page_duration 20000 -fflags +bitexact -f ogg demo.ogg
