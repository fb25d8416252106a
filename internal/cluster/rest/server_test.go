package rest

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
)

// Whatever could be reached from another machine needs to be allowed.
func TestAddresses(t *testing.T) {
	for _, c := range []struct {
		address, want string
		open          bool // only if it is allowed
		wrong         bool
	}{
		{address: "", want: ""},
		{address: "9000", want: "127.0.0.1:9000"},
		{address: "127.0.0.1:9000", want: "127.0.0.1:9000"},
		{address: "127.8.0.1:0", want: "127.8.0.1:0"},
		{address: "[::1]:9000", want: "[::1]:9000"},
		{address: "LocalHost:9000", want: "LocalHost:9000"},
		{address: ":9000", want: ":9000", open: true},
		{address: "0.0.0.0:9000", want: "0.0.0.0:9000", open: true},
		{address: "[::]:9000", want: "[::]:9000", open: true},
		{address: "10.0.0.7:9000", want: "10.0.0.7:9000", open: true},
		{address: "localhost.example.org:9000", want: "localhost.example.org:9000", open: true},
		{address: "localhost", wrong: true},
		{address: "localhost:http", wrong: true},
		{address: "localhost:70000", wrong: true},
		{address: "70000", wrong: true},
		{address: "http://localhost:9000", wrong: true},
	} {
		got, err := CheckAddress(c.address, false)
		var open *NotLoopbackError
		if errors.As(err, &open) != c.open || (err != nil) != (c.wrong || c.open) || err == nil && got != c.want {
			t.Errorf("%q: %q, %v", c.address, got, err)
		}
		if got, err := CheckAddress(c.address, true); (err != nil) != c.wrong || err == nil && got != c.want {
			t.Errorf("%q, allowed: %q, %v", c.address, got, err)
		}
	}
}

// A server answers to local names alone, an address that is taken is an error, and after Close it is free again.
func TestServer(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "here") })
	s, err := Serve("127.0.0.1:0", h, slog.Default())
	if err != nil {
		t.Fatal(err)
	}
	address := s.listener.Addr().String()
	for host, want := range map[string]int{address: 200, "localhost:1": 200, "[::1]": 200, "localhost": 200, "evil.example": 403, "evil.example:8081": 403} {
		r, err := http.NewRequest("GET", s.URL(), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("host %s: %d", host, answer.StatusCode)
		}
	}
	if second, err := Serve(address, h, slog.Default()); err == nil {
		second.Close()
		t.Error("two servers on one address")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatalf("after Close: %v", err)
	}
	l.Close()
}

// Without an address a second job finds a port of its own.
func TestDefaultAddress(t *testing.T) {
	first, err := Serve("", http.NotFoundHandler(), slog.Default())
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	second, err := Serve("", http.NotFoundHandler(), slog.Default())
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if first.URL() == second.URL() {
		t.Error("both at", first.URL())
	}
}
