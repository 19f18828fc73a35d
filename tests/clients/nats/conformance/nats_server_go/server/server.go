// Package server stands in for nats-server's: a Server is a process of the broker under test.
package server

import (
	"bufio"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

type ClusterOpts struct {
	Name string
	Host string
	Port int
}

type Options struct {
	Host                  string
	Port                  int
	NoLog                 bool
	NoSigs                bool
	MaxControlLine        int32
	DisableShortFirstPing bool
	JetStream             bool
	StoreDir              string
	ServerName            string
	Cluster               ClusterOpts
	Routes                []*url.URL
	LameDuckDuration      time.Duration
	LameDuckGracePeriod   time.Duration
	ConfigFile            string
	Tags                  []string
}

type JetStreamConfig struct{ StoreDir string }

type Server struct {
	command *exec.Cmd
	url     string
	store   string
}

func RoutesFromStr(string) []*url.URL { return nil }

func freePort() int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// Start starts a process as the options say.
func Start(o *Options) *Server {
	if o.Cluster.Port != 0 || len(o.Routes) > 0 {
		panic("no clusters")
	}
	port, store := o.Port, o.StoreDir
	if port <= 0 {
		port = freePort()
	}
	if store == "" {
		store, _ = os.MkdirTemp("", "natsgo")
	}
	args := []string{"-a", "127.0.0.1", "-p", strconv.Itoa(port), "-js", "-sd", store}
	if o.ConfigFile != "" {
		args = append(args, "-c", o.ConfigFile)
	}
	command := exec.Command(os.Getenv("NATS_SERVER"), args...)
	out, err := command.StderrPipe()
	if err != nil {
		panic(err)
	}
	if err := command.Start(); err != nil {
		panic(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "Server is ready") {
			break
		}
	}
	go func() {
		for lines.Scan() {
		}
	}()
	return &Server{command: command, url: fmt.Sprintf("nats://127.0.0.1:%d", port), store: store}
}

func (s *Server) ClientURL() string { return s.url }

func (s *Server) JetStreamConfig() *JetStreamConfig { return &JetStreamConfig{StoreDir: s.store} }

func (s *Server) Shutdown() {
	if s.command != nil && s.command.Process != nil {
		s.command.Process.Kill()
		s.command.Wait()
		s.command = nil
	}
}

func (s *Server) WaitForShutdown() { s.Shutdown() }
