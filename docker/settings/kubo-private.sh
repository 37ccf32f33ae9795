#!/bin/sh
# Run by Kubo's container before its daemon: nobody outside the consortium is asked or told anything.
set -eu
ipfs bootstrap rm all
ipfs config Routing.Type dht
ipfs config --json Discovery.MDNS.Enabled false
ipfs config --json Swarm.Transports.Network.QUIC false
ipfs config --json AutoConf.Enabled false
