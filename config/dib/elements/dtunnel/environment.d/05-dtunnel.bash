export DIB_CLOUD_INIT_DATASOURCES=${DIB_CLOUD_INIT_DATASOURCES:-"ConfigDrive, OpenStack, Ec2, GCE, Azure, NoCloud"}
# Another distribution knows its own release and archives.
if [[ ${IMAGE_ELEMENT:-debian} =~ debian ]]; then
  export DIB_RELEASE=${DIB_RELEASE:-bookworm}
  # debian-minimal knows the layout of the security archive only for releases before this one.
  export DIB_APT_SOURCES_CONF=${DIB_APT_SOURCES_CONF:-"default:deb ${DIB_DISTRIBUTION_MIRROR:-http://deb.debian.org/debian} $DIB_RELEASE main
updates:deb ${DIB_DISTRIBUTION_MIRROR:-http://deb.debian.org/debian} $DIB_RELEASE-updates main
security:deb ${DIB_DEBIAN_SECURITY_MIRROR:-http://deb.debian.org/debian-security} $DIB_RELEASE-security main"}
fi
