// Command kube is every Kubernetes program of the test cluster, and etcd: `kube kubelet --help`.
// They share most of their code, so that one binary takes a fraction of the time and disk of six.
// Called by another name, such as kubectl through a link, it is the program of that name.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	_ "time/tzdata" // CronJobs name time zones, the node may have no table of them

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	kubectl "k8s.io/kubectl/pkg/cmd"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	manager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

// Making a command sets flags and feature gates of the whole process: make only the one that runs.
var commands = map[string]func() *cobra.Command{
	"kube-apiserver":          apiserver.NewAPIServerCommand,
	"kube-controller-manager": manager.NewControllerManagerCommand,
	"kube-proxy":              proxy.NewProxyCommand,
	"kube-scheduler":          func() *cobra.Command { return scheduler.NewSchedulerCommand() },
	"kubectl":                 func() *cobra.Command { return kubectl.NewDefaultKubectlCommand() },
	"kubelet":                 func() *cobra.Command { return kubelet.NewKubeletCommand(context.Background()) },
}

func main() {
	name := filepath.Base(os.Args[0])
	if name == "kube" && len(os.Args) > 1 {
		os.Args = os.Args[1:] // as if it had been called by that name: all of them read os.Args
		name = os.Args[0]
	}
	if name == "etcd" {
		etcdmain.Main(os.Args)
		return
	}
	if command, known := commands[name]; known {
		os.Exit(cli.Run(command()))
	}
	names := []string{"etcd"}
	for each := range commands {
		names = append(names, each)
	}
	slices.Sort(names)
	fmt.Fprintf(os.Stderr, "usage: kube NAME [FLAG]..., NAME one of %s\n", strings.Join(names, ", "))
	os.Exit(2)
}
