#!/bin/sh
# Puts a folder of datasets under DVC: its content goes into DVC's cache, a small .dvc file that names it into Git.
# Usage: dvc_add.sh FOLDER    (in a Git repository or not: one is made in its parent)
set -eu
[ $# = 1 ] || { sed -n 2,3p "$0" >&2; exit 2; }
cd "$(dirname "$1")"
[ -d .git ] || git init -q .
[ -d .dvc ] || dvc init -q
dvc config core.analytics false
dvc config core.autostage true
dvc add -q "$(basename "$1")"
cat "$(basename "$1").dvc"
