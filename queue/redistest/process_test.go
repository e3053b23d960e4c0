package redistest_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"postrider/queue/redistest"
)

// holderVariable makes TestHolder start a server, tell its process and wait.
const holderVariable = "REDISTEST_HOLD"

func TestHolder(t *testing.T) {
	if os.Getenv(holderVariable) == "" {
		t.Skip("is run by TestServersDieWithTheTestProcess")
	}
	fmt.Printf("server %d\n", redistest.StartServer(t).PID())
	select {}
}

func TestServersDieWithTheTestProcess(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux ends children with their parent")
	}
	holder := exec.Command(os.Args[0], "-test.run=^TestHolder$")
	holder.Env = append(os.Environ(), holderVariable+"=1", "TMPDIR="+t.TempDir())
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	pid := ""
	for lines := bufio.NewScanner(out); pid == "" && lines.Scan(); {
		pid, _ = strings.CutPrefix(lines.Text(), "server ")
	}
	if err := holder.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = holder.Wait() // it was killed
	if pid == "" {
		t.Fatal("the holder started no server")
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		text, err := os.ReadFile("/proc/" + pid + "/stat")
		if err != nil || strings.Contains(string(text), ") Z ") {
			return // gone, or nobody has asked yet how it ended
		}
		if time.Now().After(deadline) {
			t.Fatalf("server %s outlives its test", pid)
		}
	}
}
