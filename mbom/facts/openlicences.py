"""Which licences are open, and which of them suit code, data or documents.

Open means free to be used, studied, modified and redistributed for any purpose, as the Model Openness Framework asks.
A licence that excludes users, uses or the training of other models is not, whatever its name says; of a licence that
is in no table nothing is said. The tables hold lower-case ids, as the hub writes them.

Sources:
    The flags isOsiApproved and isFsfLibre of the SPDX licence list 3.28.0 (2026-02-20, https://spdx.org/licenses).
    Data licences, OpenMDW and what suits which kind: the Model Openness Tool, the reference implementation of the
    framework, as of 2026-05-11 (https://github.com/lfai/model_openness_tool, LicenseHandler.php, mof-licenses.json),
    and for CC-BY-4.0 on data https://lfaidata.foundation/blog/2025/07/22/simplifying-ai-model-licensing-with-openmdw.
    Ids of the hub: https://huggingface.co/docs/hub/repositories-licenses (2026-08-22).
"""

from mbom.facts.licences import is_open as recognised_as_open

CODE = "code"
DATA = "data"
DOCUMENT = "document"


_FAMILIES = frozenset({"bsd", "cc", "gpl", "lgpl"})  # ids of the hub that leave open which licence is meant


def _ids(text: str) -> frozenset[str]:
    return frozenset(text.lower().split())


_OSI = _ids("""
    0BSD AAL AFL-1.1 AFL-1.2 AFL-2.0 AFL-2.1 AFL-3.0 AGPL-3.0 AGPL-3.0-only AGPL-3.0-or-later ALGLIB-Documentation
    Apache-1.1 Apache-2.0 APL-1.0 APSL-1.0 APSL-1.1 APSL-1.2 APSL-2.0 Artistic-1.0 Artistic-1.0-cl8 Artistic-1.0-Perl
    Artistic-2.0 BlueOak-1.0.0 BSD-1-Clause BSD-2-Clause BSD-2-Clause-Patent BSD-3-Clause BSD-3-Clause-LBNL
    BSD-3-Clause-Open-MPI BSL-1.0 CAL-1.0 CAL-1.0-Combined-Work-Exception CATOSL-1.1 CDDL-1.0 CECILL-2.1
    CERN-OHL-P-2.0 CERN-OHL-S-2.0 CERN-OHL-W-2.0 CNRI-Python CPAL-1.0 CPL-1.0 CUA-OPL-1.0 ECL-1.0 ECL-2.0 EFL-1.0
    EFL-2.0 Entessa EPL-1.0 EPL-2.0 EUDatagrid EUPL-1.1 EUPL-1.2 Fair Frameworx-1.0 GPL-2.0 GPL-2.0+ GPL-2.0-only
    GPL-2.0-or-later GPL-3.0 GPL-3.0+ GPL-3.0-only GPL-3.0-or-later GPL-3.0-with-GCC-exception HPND ICU Intel IPA
    IPL-1.0 ISC Jam LGPL-2.0 LGPL-2.0+ LGPL-2.0-only LGPL-2.0-or-later LGPL-2.1 LGPL-2.1+ LGPL-2.1-only
    LGPL-2.1-or-later LGPL-3.0 LGPL-3.0+ LGPL-3.0-only LGPL-3.0-or-later LiLiQ-P-1.1 LiLiQ-R-1.1 LiLiQ-Rplus-1.1
    LPL-1.0 LPL-1.02 LPPL-1.3c MirOS MIT MIT-0 MIT-Modern-Variant Motosoto MPL-1.0 MPL-1.1 MPL-2.0
    MPL-2.0-no-copyleft-exception MS-PL MS-RL MulanPSL-2.0 Multics NASA-1.3 Naumen NCSA NGPL Nokia NPOSL-3.0 NTP
    OCLC-2.0 OFL-1.1 OFL-1.1-no-RFN OFL-1.1-RFN OGTSL OLDAP-2.8 OLFL-1.3 OSC-1.0 OSET-PL-2.1 OSL-1.0 OSL-2.0 OSL-2.1
    OSL-3.0 PHP-3.0 PHP-3.01 PostgreSQL Python-2.0 QPL-1.0 RPL-1.1 RPL-1.5 RPSL-1.0 RSCPL SimPL-2.0 SISSL Sleepycat
    SPL-1.0 UCL-1.0 Unicode-3.0 Unicode-DFS-2016 Unlicense UPL-1.0 VSL-1.0 W3C W3C-20150513 Watcom-1.0 WordNet
    wxWindows Xnet Zlib ZPL-2.0 ZPL-2.1
""")
_FSF = _ids("""
    AGPL-1.0 Apache-1.0 BitTorrent-1.1 BSD-2-Clause-FreeBSD BSD-2-Clause-NetBSD BSD-3-Clause-Clear BSD-4-Clause
    CC-BY-4.0 CC-BY-SA-4.0 CC0-1.0 CECILL-2.0 CECILL-B CECILL-C ClArtistic Condor-1.1 eCos-2.0 FSFAP FTL GFDL-1.1
    GFDL-1.1-only GFDL-1.1-or-later GFDL-1.2 GFDL-1.2-only GFDL-1.2-or-later GFDL-1.3 GFDL-1.3-only GFDL-1.3-or-later
    gnuplot IJG iMatix Imlib2 LPPL-1.2 LPPL-1.3a NOSL NPL-1.0 NPL-1.1 Nunit ODbL-1.0 OFL-1.0 OLDAP-2.3 OLDAP-2.7
    OpenSSL OSL-1.1 Ruby SGI-B-2.0 SMLNJ StandardML-NJ Vim WTFPL X11 XFree86-1.1 xinetd YPL-1.1 Zend-2.0 Zimbra-1.3
""")
_OPEN_DATA = _ids("""
    C-UDA-1.0 CC-PDDC CC0-1.0 CC-BY-1.0 CC-BY-2.0 CC-BY-2.5 CC-BY-3.0 CC-BY-4.0 CC-BY-SA-1.0 CC-BY-SA-2.0 CC-BY-SA-2.5
    CC-BY-SA-3.0 CC-BY-SA-4.0 CDLA-Permissive-1.0 CDLA-Permissive-2.0 CDLA-Sharing-1.0 PDDL-1.0 ODC-By-1.0 ODbL-1.0
    GFDL-1.3 OGL-Canada-2.0 OGL-UK-2.0 OGL-UK-3.0
    c-uda odc-by odbl pddl
""")  # the last line: how the hub writes four of them
_MODELS = _ids("OpenMDW-1.0 OpenMDW-1.1")
_OPEN = _OSI | _FSF | _OPEN_DATA | _MODELS

# Terms with conditions on who may use a model, for what, or what may be made with it. Ids of the hub, of SPDX, and
# names that publishers give under ``license: other``.
_RESTRICTED = _ids("""
    llama2 llama3 llama3.1 llama3.2 llama3.3 llama4 gemma grok2-community deepfloyd-if-license h-research
    fair-noncommercial-research-license apple-amlr apple-ascl intel-research lgpl-lr
    openrail openrail++ openrail-m bigscience-openrail-m bigscience-bloom-rail-1.0 creativeml-openrail-m
    bigcode-openrail-m
    qwen qwen-research tongyi-qianwen tongyi-qianwen-research deepseek deepseek-license
    nvidia-open-model-license nvidia-nemotron-open-model-license nvidia-community-model-license
    mrl mnpl mistral-ai-research-licence mistral-research-license mistral-non-production-license
    modified-mit falcon-llm-license yi-license stabilityai-ai-community stable-community exaone
    hai-lab-license jamba-open-model-license lfm1.0 minimax-model-license hunyuan tencent-hunyuan-community
    tencent-hunyuan-a13b
""")
_RESTRICTED_PREFIXES = ("cc-by-nc", "cc-by-nd", "llama-", "llama2-", "llama3-", "llama4-", "gemma-", "rail-")

_SUITED = {
    CODE: _OSI | _MODELS,
    DATA: _MODELS | _ids("CDLA-Permissive-1.0 CDLA-Permissive-2.0 C-UDA-1.0 c-uda CC-PDDC CC0-1.0 PDDL-1.0 pddl")
    | _ids("CC-BY-4.0"),
    DOCUMENT: _MODELS | _ids("CC-BY-4.0 CC-BY-SA-3.0 CC-BY-SA-4.0 CC-PDDC CC0-1.0 Apache-2.0"),
}  # fmt: skip
PREFERRED = {CODE: "an OSI-approved licence", DATA: "CDLA-Permissive-2.0 or OpenMDW", DOCUMENT: "CC-BY-4.0 or OpenMDW"}


def is_open(licence: str) -> bool | None:
    """Tell whether a licence is open, by its SPDX id, its id of the hub, or its name; None where nobody can tell.

    The licences that mbom has read the text of come first.

    Ids of families, such as ``gpl`` or ``cc``, are no licences, so nothing is known of them.
    """
    key = "-".join(licence.lower().split())
    if key in _FAMILIES:
        return None
    if (told := recognised_as_open(licence)) is not None:
        return told
    if key in _OPEN:
        return True
    return False if key in _RESTRICTED or key.startswith(_RESTRICTED_PREFIXES) else None


def suits(licence: str, kind: str) -> bool:
    """Tell whether a licence is of the sort that the framework prefers for ``CODE``, ``DATA`` or ``DOCUMENT``."""
    return licence.lower() in _SUITED[kind]
