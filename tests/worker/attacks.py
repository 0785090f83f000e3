"""Jobs that try to reach what they may not, as data: what each asks for, and the word that it is refused with.

``{secret}`` stands for a file outside the node's roots, ``{outside}`` for a server that jobs may not reach, and
``{inside}`` for one that they may.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Name:
    """A name of an input or output. ``worker`` is the worker's code; the master's is ``invalid_argument`` or nothing.

    Where ``at_submit`` is false, only the node can know.
    """

    text: str
    worker: str
    at_submit: bool = True


INPUT_NAMES = (
    Name("../secret.mp4", "outside"),
    Name("x/../../secret.mp4", "outside"),
    Name("{secret}", "outside", at_submit=False),
    Name("/etc/passwd", "outside", at_submit=False),
    Name("/proc/self/environ", "outside", at_submit=False),
    Name("/dev/stdin", "outside", at_submit=False),
    Name("link.mp4", "outside", at_submit=False),
    Name("folder/secret.mp4", "outside", at_submit=False),
    Name("frame%03d.png", "missing", at_submit=False),
    Name("frame*.png", "missing", at_submit=False),
    Name("file:{secret}", "scheme"),
    Name("file://{secret}", "scheme"),
    Name("FILE:{secret}", "scheme"),
    Name("concat:{secret}|{secret}", "scheme"),
    Name("concatf:{secret}", "scheme"),
    Name("subfile:{secret}", "scheme"),
    Name("subfile,,start,0,end,0,,:{secret}", "scheme"),
    Name("data:text/plain;base64,AAAA", "scheme"),
    Name("pipe:0", "scheme"),
    Name("fd:0", "scheme"),
    Name("crypto:{secret}", "scheme"),
    Name("crypto+file:{secret}", "scheme"),
    Name("async:{secret}", "scheme"),
    Name("cache:{secret}", "scheme"),
    Name("tee:a.mp4", "scheme"),
    Name("unix:/run/docker.sock", "scheme"),
    Name("lavfi:movie={secret}", "scheme"),
    Name("hls+file:{secret}", "scheme"),
    Name("ftp://example.org/a.mp4", "scheme"),
    Name("sftp://example.org/a.mp4", "scheme"),
    Name("gopher://127.0.0.1:25/_x", "scheme"),
    Name("rtsp://example.org/a", "scheme"),
    Name("rtp://239.0.0.1:5004", "scheme"),
    Name("httpproxy://127.0.0.1:1/x", "scheme"),
    Name("zmq:tcp://127.0.0.1:1", "scheme"),
    Name("-", "bad_name"),
    Name("-i", "bad_name"),
    Name("-protocol_whitelist", "bad_name"),
    Name("a\n.mp4", "bad_name"),
    Name("a\r\nHost: x", "bad_name"),
    Name("a\x00.mp4", "bad_name"),
    Name("a\x1b[2J.mp4", "bad_name"),
    Name("a\u2028.mp4", "bad_name"),
    Name("http://example.org/a b", "bad_name"),
    Name("http://example.org\\@{inside}/", "bad_name"),
    Name("http://a@b@example.org/", "host"),
    Name("http:///a.mp4", "host"),
    Name("http://169.254.169.254/latest/meta-data/", "host", at_submit=False),
    Name("http://[fd00:ec2::254]/", "host", at_submit=False),
    Name("http://[::ffff:169.254.169.254]/", "host", at_submit=False),
    Name("http://[64:ff9b::a9fe:a9fe]/", "host", at_submit=False),
    Name("http://127.0.0.2/", "host", at_submit=False),
    Name("http://127.1/", "host", at_submit=False),
    Name("http://2130706434/", "host", at_submit=False),
    Name("http://0x7f.0.0.2/", "host", at_submit=False),
    Name("http://0.0.0.0/", "host", at_submit=False),
    Name("http://[::]/", "host", at_submit=False),
    Name("http://10.0.0.1/", "host", at_submit=False),
    Name("http://192.168.1.1/", "host", at_submit=False),
    Name("http://100.64.0.1/", "host", at_submit=False),
    Name("rtmp://127.0.0.2/live/x", "host", at_submit=False),
    Name("srt://0.0.0.0:9000?mode=listener", "host", at_submit=False),
)

OUTPUT_NAMES = (
    Name("../o.mp4", "outside"),
    Name("a/../../o.mp4", "outside"),
    Name("/etc/cron.d/o.mp4", "outside", at_submit=False),
    Name("folder/o.mp4", "outside", at_submit=False),
    Name("file:/etc/o.mp4", "scheme"),
    Name("pipe:1", "scheme"),
    Name("tee:a.mp4|b.mp4", "scheme"),
    Name("md5:", "scheme"),
    Name("crypto:o.mp4", "scheme"),
    Name("rtmp://example.org/live/x", "scheme"),
    Name("-", "bad_name"),
    Name("-y.mp4", "bad_name"),
    Name("o\n.mp4", "bad_name"),
    Name("o\x00.mp4", "bad_name"),
    Name("a/", "bad_name"),
    Name("..", "bad_name"),
    # Another job's unfinished output, whose name anybody can tell.
    Name("o.mp4.job-000002.1.partial", "bad_name"),
)

# Words of a job that go into a command or onto a screen. All are refused at submit.
WORDS = (
    {"preset": "medium -f null"},
    {"preset": "fast:log=/etc/x"},
    {"preset": "-y"},
    {"preset": "medium\n"},
    {"encoder": "libx264 -f null"},
    {"encoder": "rawvideo"},
    {"scenario": "1080p30-h264 -i /etc/passwd"},
    {"labels": {"show": "\x1b]0;x\x07"}},
    {"labels": {"a\nb": "x"}},
    {"labels": {"": "x"}},
    {"input": "a.mp4", "output": "./a.mp4"},
    {"input": "/in/a.mp4", "output": "/in/../in/a.mp4"},
)

PLAYLIST = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:2\n{}\n#EXT-X-ENDLIST\n"
MANIFEST = """<?xml version="1.0"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT1S"
 profiles="urn:mpeg:dash:profile:isoff-on-demand:2011" minBufferTime="PT1S"><Period><AdaptationSet mimeType="video/mp4">
<Representation id="1" bandwidth="1000" codecs="avc1.42c00a" width="128" height="72"><BaseURL>{}</BaseURL>
<SegmentBase/></Representation></AdaptationSet></Period></MPD>
"""

# Files that were put under an input root: the name, and what it holds.
FILES = {
    "ffconcat": ("a.mp4", "ffconcat version 1.0\nfile {secret}\n"),
    "concat-url": ("a.ffconcat", "ffconcat version 1.0\nfile '{outside}/secret.ts'\n"),
    "hls-file": ("a.mp4", PLAYLIST.format("#EXTINF:2,\nfile://{secret}")),
    "hls-name": ("a.m3u8", PLAYLIST.format("#EXTINF:2,\n{secret}")),
    "hls-url": ("a.m3u8", PLAYLIST.format("#EXTINF:2,\n{outside}/secret.ts")),
    "hls-concat": ("a.avi", PLAYLIST.format("#EXTINF:2,\nconcat:{outside}/x.m3u8|file://{secret}")),
    "dash": ("a.mpd", MANIFEST.format("{outside}/secret.mp4")),
    "sdp": (
        "a.sdp",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 33\n",
    ),
    "rtsp-redirect": ("a.mov", "RTSPtextrtsp://127.0.0.2:5554/x\r\n"),
    "svg": (
        "a.svg",
        '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><image href="file://{secret}"/></svg>',
    ),
    "ass": ("a.ass", "[Script Info]\nScriptType: v4.00+\n[Events]\nDialogue: 0,0:00:00.00,0:00:02.00,x,,0,0,0,,x\n"),
    "lavfi": ("movie=a.mp4", "movie={secret}\n"),
    "pattern": ("a%03d.png", "no picture\n"),
    # 67 bytes that claim a picture of 16384x16384.
    "bomb": ("a.y4m", "YUV4MPEG2 W16384 H16384 F25:1 Ip A1:1 C420jpeg\nFRAME\nxxxxxxxxxxx\n"),
}

# What a server that jobs may reach answers: a place to go to, or a body.
REDIRECTS = {
    "/host.mp4": "{outside}/secret.mp4",
    "/scheme-relative.mp4": "//{outside_host}/secret.mp4",
    "/user.mp4": "http://127.0.0.1@{outside_host}/secret.mp4",
    "/decimal.mp4": "http://2130706434:{outside_port}/secret.mp4",
    "/file.mp4": "file://{secret}",
    "/tcp.mp4": "tcp://{outside_host}/secret.mp4",
    "/tls.mp4": "https://{outside_host}/secret.mp4",
    "/crypto.mp4": "crypto:{outside}/secret.mp4",
    "/proxy.mp4": "httpproxy://{outside_host}/{outside_host}",
    "/metadata.mp4": "http://169.254.169.254/latest/meta-data/",
    "/localhost.mp4": "http://localhost:{outside_port}/secret.mp4",
}
BODIES = {
    "/hls-host.m3u8": PLAYLIST.format("#EXTINF:2,\n{outside}/secret.ts"),
    "/hls-file.m3u8": PLAYLIST.format("#EXTINF:2,\nfile://{secret}"),
    "/hls-name.m3u8": PLAYLIST.format("#EXTINF:2,\n{secret}"),
    "/hls-master.m3u8": "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1000\n{outside}/x.m3u8\n",
    "/hls-map.m3u8": PLAYLIST.format('#EXT-X-MAP:URI="{outside}/secret.mp4"\n#EXTINF:2,\n{outside}/secret.ts'),
    "/hls-key.m3u8": PLAYLIST.format(
        '#EXT-X-KEY:METHOD=AES-128,URI="file://{secret}"\n#EXTINF:2,\n{outside}/secret.ts'
    ),
    "/hls-data.m3u8": PLAYLIST.format("#EXTINF:2,\ndata:video/mp2t;base64,R0AA"),
    "/hls-redirect.m3u8": PLAYLIST.format("#EXTINF:2,\n{inside}/host.mp4"),
    "/dash-host.mpd": MANIFEST.format("{outside}/secret.mp4"),
    "/dash-file.mpd": MANIFEST.format("file://{secret}"),
    "/concat.txt": "ffconcat version 1.0\nfile {outside}/secret.ts\n",
}
