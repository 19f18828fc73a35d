// Package test stands in for nats-server's test helpers.
package test

import "github.com/nats-io/nats-server/v2/server"

var DefaultTestOptions = server.Options{Host: "127.0.0.1", Port: 4222, NoLog: true, NoSigs: true}

func RunServer(o *server.Options) *server.Server { return server.Start(o) }

func RunServerWithConfig(path string) (*server.Server, *server.Options) {
	o := DefaultTestOptions
	o.ConfigFile, o.Port = path, -1
	return server.Start(&o), &o
}
