// media-service: honest Go reproduction (Gin + Pion v3 + gorilla/websocket + client_golang).
package main

import (
	"context"
	"flag"
	"log"
	"net"
	"net/http"
	_ "net/http/pprof"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/pion/webrtc/v3"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

var (
	fAddr    = flag.String("addr", "127.0.0.1:30006", "HTTP listen")
	fManager = flag.String("manager", "sharded", "sharded | global (lock held over creation, as in the original) | globalshort (lock only round the map)")
	fMux     = flag.String("mux", "127.0.0.1:30010", "single ICE UDP port; empty = one ephemeral port per session (Pion default)")
	fCert    = flag.String("cert", "shared", "shared | perpc (Pion default)")
	fInter   = flag.String("interceptors", "default", "default | none")
	fGather  = flag.Bool("gather", true, "wait for ICE gathering before the offer is returned")
	fFanout  = flag.String("fanout", "persession", "persession (original: WriteVideoFrame per session track) | shared (one track per device)")
	fFile    = flag.String("h264", "", "annex-b file streamed to all sessions of -device")
	fDevice  = flag.String("device", "cam-1", "device id of the source")
	fFps     = flag.Float64("fps", 30, "frames per second")
	fAudio   = flag.Bool("audio", false, "also write 50 opus frames/s of 80 bytes")
	fHub     = flag.String("hub", "tuned", "tuned | original")
	fLog     = flag.Bool("log", false, "log every session (original does)")
	fPprof   = flag.String("pprof", "", "pprof listen")
)

var (
	mActive  = promauto.NewGauge(prometheus.GaugeOpts{Name: "media_active_sessions"})
	mCreated = promauto.NewCounterVec(prometheus.CounterOpts{Name: "media_sessions_created_total"}, []string{"device_id"})
	mICE     = promauto.NewCounterVec(prometheus.CounterOpts{Name: "media_ice_connection_state_total"}, []string{"state"})
	mFrames  = promauto.NewCounter(prometheus.CounterOpts{Name: "media_video_frames_total"})
	mLate    = promauto.NewCounter(prometheus.CounterOpts{Name: "media_video_frames_late_total"})
	mHTTP    = promauto.NewCounterVec(prometheus.CounterOpts{Name: "media_http_requests_total"}, []string{"method", "path", "status"})
	mDur     = promauto.NewHistogramVec(prometheus.HistogramOpts{Name: "media_http_duration_seconds", Buckets: prometheus.ExponentialBuckets(0.001, 2, 10)}, []string{"method", "path"})
	mWS      = promauto.NewGauge(prometheus.GaugeOpts{Name: "media_websocket_connections"})
	mWSMsg   = promauto.NewCounterVec(prometheus.CounterOpts{Name: "media_websocket_messages_total"}, []string{"direction"})
	mWSDrop  = promauto.NewCounter(prometheus.CounterOpts{Name: "media_websocket_dropped_total"})
	mGorout  = promauto.NewGauge(prometheus.GaugeOpts{Name: "media_goroutine_count"})
	mMem     = promauto.NewGauge(prometheus.GaugeOpts{Name: "media_memory_usage_bytes"})
	wsIn     = mWSMsg.WithLabelValues("in")
	wsOut    = mWSMsg.WithLabelValues("out")
)

func metricsMW(c *gin.Context) {
	t := time.Now()
	c.Next()
	p := c.FullPath()
	mHTTP.WithLabelValues(c.Request.Method, p, strconv.Itoa(c.Writer.Status())).Inc()
	mDur.WithLabelValues(c.Request.Method, p).Observe(time.Since(t).Seconds())
}

func main() {
	flag.Parse()
	api, cfg := newAPI()
	var m Manager
	switch *fManager {
	case "global":
		m = newGlobal(api, cfg, true)
	case "globalshort":
		m = newGlobal(api, cfg, false)
	default:
		m = newSharded(api, cfg)
	}
	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	r.Use(gin.Recovery(), metricsMW)
	r.GET("/health", func(c *gin.Context) { c.JSON(200, gin.H{"service": "media-service", "status": "ok"}) })
	r.GET("/metrics", gin.WrapH(promhttp.Handler()))
	g := r.Group("/api/media/sessions")
	g.POST("", func(c *gin.Context) {
		var q struct {
			DeviceID string `json:"deviceId" binding:"required"`
			UserID   string `json:"userId" binding:"required"`
		}
		if err := c.ShouldBindJSON(&q); err != nil {
			c.JSON(400, gin.H{"error": err.Error()})
			return
		}
		s, err := m.CreateSession(q.DeviceID, q.UserID)
		if err != nil {
			c.JSON(500, gin.H{"error": err.Error()})
			return
		}
		if *fManager != "global" { // the offer is made outside the lock
			if err = s.makeOffer(); err != nil {
				_ = m.CloseSession(s.ID)
				c.JSON(500, gin.H{"error": err.Error()})
				return
			}
		}
		c.JSON(200, gin.H{"sessionId": s.ID, "offer": s.PC.LocalDescription()})
	})
	g.GET("/:id", func(c *gin.Context) {
		s, ok := m.GetSession(c.Param("id"))
		if !ok {
			c.JSON(404, gin.H{"error": "session not found"})
			return
		}
		c.JSON(200, s.view())
	})
	g.DELETE("/:id", func(c *gin.Context) {
		if err := m.CloseSession(c.Param("id")); err != nil {
			c.JSON(404, gin.H{"error": err.Error()})
			return
		}
		c.JSON(200, gin.H{"status": "closed"})
	})
	g.POST("/:id/answer", func(c *gin.Context) {
		s, ok := m.GetSession(c.Param("id"))
		if !ok {
			c.JSON(404, gin.H{"error": "session not found"})
			return
		}
		var a webrtc.SessionDescription
		if err := c.ShouldBindJSON(&a); err != nil {
			c.JSON(400, gin.H{"error": err.Error()})
			return
		}
		if err := s.PC.SetRemoteDescription(a); err != nil {
			c.JSON(400, gin.H{"error": err.Error()})
			return
		}
		s.touch()
		c.JSON(200, gin.H{"status": "ok"})
	})
	g.POST("/:id/ice-candidate", func(c *gin.Context) {
		s, ok := m.GetSession(c.Param("id"))
		if !ok {
			c.JSON(404, gin.H{"error": "session not found"})
			return
		}
		var a webrtc.ICECandidateInit
		if err := c.ShouldBindJSON(&a); err != nil {
			c.JSON(400, gin.H{"error": err.Error()})
			return
		}
		if err := s.addICE(a); err != nil {
			c.JSON(400, gin.H{"error": err.Error()})
			return
		}
		c.JSON(200, gin.H{"status": "ok"})
	})
	var ws func(*gin.Context)
	if *fHub == "original" {
		ws = newOriginalHub().serve
	} else {
		ws = newTunedHub().serve
	}
	r.GET("/ws", ws)

	go func() {
		for range time.Tick(10 * time.Second) {
			var ms runtime.MemStats
			runtime.ReadMemStats(&ms)
			mMem.Set(float64(ms.Alloc))
			mGorout.Set(float64(runtime.NumGoroutine()))
			m.Cleanup(5 * time.Minute)
		}
	}()
	if *fFile != "" {
		go streamFile(m, *fFile, *fDevice, *fFps)
	}
	if *fPprof != "" {
		go http.ListenAndServe(*fPprof, nil)
	}
	ln, err := net.Listen("tcp", *fAddr)
	if err != nil {
		log.Fatal(err)
	}
	srv := &http.Server{Handler: r}
	go srv.Serve(ln)
	log.Printf("media-service %s GOMAXPROCS=%d manager=%s mux=%q cert=%s inter=%s gather=%v fanout=%s hub=%s on %s", runtime.Version(), runtime.GOMAXPROCS(0), *fManager, *fMux, *fCert, *fInter, *fGather, *fFanout, *fHub, *fAddr)
	q := make(chan os.Signal, 1)
	signal.Notify(q, syscall.SIGINT, syscall.SIGTERM)
	<-q
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_ = srv.Shutdown(ctx)
	for _, s := range m.All() {
		_ = m.CloseSession(s.ID)
	}
}
