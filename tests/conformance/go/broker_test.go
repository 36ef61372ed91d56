package conformance

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// broker is one weir-broker for one test: own folder, free port, stopped by its process id.
type broker struct {
	t      *testing.T
	folder string
	port   string
	cmd    *exec.Cmd
}

func start(t *testing.T) *broker {
	t.Helper()
	b := &broker{t: t, folder: t.TempDir(), port: "-1"}
	b.run()
	t.Cleanup(func() { b.end(syscall.SIGTERM) })
	return b
}

func (b *broker) run() {
	b.t.Helper()
	program := os.Getenv("WEIR_BROKER")
	config := filepath.Join(b.folder, "broker.conf")
	text := fmt.Sprintf("host: 127.0.0.1\nport: %s\nserver_name: test\njetstream { store_dir: %q, max_mem: 256MB, max_file: 2GB }\n",
		b.port, filepath.Join(b.folder, "store"))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
	log, err := os.OpenFile(filepath.Join(b.folder, "broker.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		b.t.Fatal(err)
	}
	defer log.Close()
	b.cmd = exec.Command(program, "-c", config, "--ports_file_dir", b.folder)
	b.cmd.Stdout, b.cmd.Stderr = log, log
	if err := b.cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	ports := filepath.Join(b.folder, fmt.Sprintf("%s_%d.ports", filepath.Base(program), b.cmd.Process.Pid))
	for until := time.Now().Add(30 * time.Second); time.Now().Before(until); time.Sleep(20 * time.Millisecond) {
		var found struct{ Nats []string }
		if data, err := os.ReadFile(ports); err == nil && json.Unmarshal(data, &found) == nil && len(found.Nats) > 0 {
			at, _ := url.Parse(found.Nats[0])
			b.port = at.Port()
			return
		}
	}
	b.t.Fatal("the broker is not ready")
}

func (b *broker) end(s syscall.Signal) {
	_ = b.cmd.Process.Signal(s)
	_ = b.cmd.Wait()
}

func (b *broker) crashAndRestart() {
	b.t.Helper()
	b.end(syscall.SIGKILL)
	b.run()
}

func (b *broker) connect() *nats.Conn {
	b.t.Helper()
	nc, err := nats.Connect("nats://127.0.0.1:"+b.port, nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(nc.Close)
	return nc
}
