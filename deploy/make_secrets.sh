#!/bin/sh
# Makes the passwords of the team's server in deploy/secrets. Run it once; what is there already is left alone.
set -eu

folder=$(dirname "$0")/secrets
mkdir -p "$folder"
chmod 700 "$folder"

# Docker hands each file to its container as it lies here, and the containers' users are not yours. So anybody may read
# the files, but only you (and Docker) get into the folder.
umask 022

random() {
    head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n'
}

make() {
    if [ -s "$folder/$1" ]; then
        echo "kept $folder/$1"
    else
        printf '%s' "$2" > "$folder/$1"
        echo "made $folder/$1"
    fi
}

make viewer-key "$(random)$(random | head -c 16)"
make mongo-root-password "$(random)"
make cloister-uri "mongodb://cloister:$(random)@mongo:27017/cloister?authSource=admin&replicaSet=cloister"
